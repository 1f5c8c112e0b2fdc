/** Names of network interfaces: what the kernel accepts (net/core/dev.c, dev_valid_name), and what a rule can hold. */

/** `eth0`, or with `wildcard` every name that begins with it. */
export interface InterfaceName {
	readonly name: string;
	readonly wildcard: boolean;
}

/** IFNAMSIZ and ALTIFNAMSIZ, minus the zero byte. */
const MAX_NAME_BYTES = 15;
const MAX_ALTERNATIVE_BYTES = 127;

/** True for a valid interface name or alternative name (ip link property). */
export function isInterfaceName(text: string): boolean {
	return (
		/^[^\s/:]+$/.test(text) &&
		text !== "." &&
		text !== ".." &&
		Buffer.byteLength(text) <= MAX_ALTERNATIVE_BYTES
	);
}

/**
 * True for a name that is too long for an interface's own name, which rules match; it can only be an alternative
 * name.
 */
export function isTooLongForRules(name: string): boolean {
	return Buffer.byteLength(name) > MAX_NAME_BYTES;
}

/** True if a rule's text can hold this name: printable ASCII, and nothing with a special meaning. */
export function isNameForRules(name: string): boolean {
	return /^(?![-!])[\x21-\x7e]+$/.test(name) && !/["'`\\]|\+$/.test(name);
}
