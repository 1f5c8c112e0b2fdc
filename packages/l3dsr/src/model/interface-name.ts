/** Names of network interfaces: what the kernel takes (net/core/dev.c, dev_valid_name), and what a rule can hold. */

/** `eth0`, or with `wildcard` every name that starts so. */
export interface InterfaceName {
	readonly name: string;
	readonly wildcard: boolean;
}

/** IFNAMSIZ and ALTIFNAMSIZ, less the zero byte. */
const MAX_NAME_BYTES = 15;
const MAX_ALTERNATIVE_BYTES = 127;

/** Whether an interface can be called so, by its own name or by an alternative one (ip link property). */
export function isInterfaceName(text: string): boolean {
	return (
		/^[^\s/:]+$/.test(text) &&
		text !== "." &&
		text !== ".." &&
		Buffer.byteLength(text) <= MAX_ALTERNATIVE_BYTES
	);
}

/** Too long for an interface's own name, which is what rules match: it can only be an alternative name. */
export function isTooLongForRules(name: string): boolean {
	return Buffer.byteLength(name) > MAX_NAME_BYTES;
}

/** Whether a rule can hold this name as its text: printable ASCII, and nothing with a meaning of its own. */
export function isNameForRules(name: string): boolean {
	return /^(?![-!])[\x21-\x7e]+$/.test(name) && !/["'`\\]|\+$/.test(name);
}
