/**
 * IP addresses and prefixes as immutable values.
 *
 * General IP libraries read `010.0.0.1` as 8.0.0.1 (inet_aton's octal). Here a number with a leading zero is
 * not valid, so packets cannot go to an address that nobody wrote.
 */

export type Family = "ipv4" | "ipv6";

/** An address: `bytes` in network order (4 or 16), `text` in canonical form (dotted quad; RFC 5952). */
export interface Address {
	readonly family: Family;
	readonly text: string;
	readonly bytes: readonly number[];
}

/** An address with a prefix length; the bits after the prefix are zero. */
export interface Prefix {
	readonly address: Address;
	/** 0–32 or 0–128. */
	readonly length: number;
}

/** Width of an address in bits: 32 or 128. */
export function addressBits(family: Family): number {
	return family === "ipv4" ? 32 : 128;
}

/** The address with these bytes (4 or 16, network order). Throws a RangeError for any other length. */
export function addressFromBytes(bytes: ArrayLike<number>): Address {
	const { length } = bytes;
	if (length !== 4 && length !== 16) throw new RangeError(`an address has 4 or 16 bytes, not ${length}`);
	// Loops instead of closures: a command on a host with many VIPs creates thousands of addresses in code
	// that V8 never optimises.
	const copy: number[] = [];
	for (let at = 0; at < length; at++) copy.push((bytes[at] ?? 0) & 0xff);
	Object.freeze(copy);
	return length === 4
		? Object.freeze({ family: "ipv4", text: copy.join("."), bytes: copy })
		: Object.freeze({ family: "ipv6", text: formatIpv6(copy), bytes: copy });
}

/** A dotted quad of four decimal numbers without leading zeros; else undefined. */
export function parseIpv4(text: string): Address | undefined {
	const bytes: number[] = [];
	/** The number so far; undefined before its first digit. */
	let byte: number | undefined;
	for (let at = 0; at <= text.length; at++) {
		const digit = text.charCodeAt(at) - ZERO;
		if (digit >= 0 && digit <= 9) {
			if (byte === 0) return undefined;
			byte = 10 * (byte ?? 0) + digit;
			if (byte > 255) return undefined;
		} else {
			if (byte === undefined || (at < text.length && text[at] !== ".")) return undefined;
			bytes.push(byte);
			byte = undefined;
		}
	}
	return bytes.length === 4 ? addressFromBytes(bytes) : undefined;
}

const ZERO = 0x30;

/** The text forms of RFC 4291 section 2.2 (with embedded IPv4, without a zone); else undefined. */
export function parseIpv6(text: string): Address | undefined {
	let head = text;
	const tail: number[] = [];
	const lastColon = text.lastIndexOf(":");
	if (text.includes(".")) {
		const embedded = parseIpv4(text.slice(lastColon + 1));
		if (embedded === undefined || lastColon < 0) return undefined;
		tail.push(...embedded.bytes);
		head = text.slice(0, lastColon);
		// The head of "::1.2.3.4" is ":", that of "a::1.2.3.4" is "a:": restore the second colon.
		if (head.endsWith(":")) head += ":";
	}
	const halves = head.split("::");
	if (halves.length > 2) return undefined;
	const groups = halves.map((half) => (half === "" ? [] : half.split(":")));
	const bytes = groups.map((half) => {
		const out: number[] = [];
		for (const group of half) {
			if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
			const value = Number.parseInt(group, 16);
			out.push(value >> 8, value & 0xff);
		}
		return out;
	});
	const [left, right] = bytes;
	if (left === undefined || (halves.length === 2 && right === undefined)) return undefined;
	const known = left.length + (right?.length ?? 0) + tail.length;
	if (halves.length === 1) return known === 16 ? addressFromBytes([...left, ...tail]) : undefined;
	// "::" stands for at least one group of zeros.
	if (known > 14) return undefined;
	return addressFromBytes([...left, ...new Array<number>(16 - known).fill(0), ...(right ?? []), ...tail]);
}

/** An address of either family; else undefined. */
export function parseAddress(text: string): Address | undefined {
	return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

/** 0.0.0.0 or ::, which as a socket's address stands for all addresses. */
export function isUnspecified({ bytes }: Address): boolean {
	return bytes.every((byte) => byte === 0);
}

export function sameAddress(a: Address, b: Address): boolean {
	return a.family === b.family && a.text === b.text;
}

/** The prefix, with every bit after `length` cleared. Throws a RangeError if `length` is out of range. */
export function prefixOf(address: Address, length: number): Prefix {
	if (!Number.isInteger(length) || length < 0 || length > addressBits(address.family)) {
		throw new RangeError(`a prefix of ${address.text} cannot be ${length} bits long`);
	}
	if (length === addressBits(address.family)) return Object.freeze({ address, length });
	const mask = maskBytes(address.family, length);
	if (address.bytes.every((byte, index) => (byte & (mask[index] ?? 0)) === byte)) {
		return Object.freeze({ address, length });
	}
	const bytes = address.bytes.map((byte, index) => byte & (mask[index] ?? 0));
	return Object.freeze({ address: addressFromBytes(bytes), length });
}

/** `192.0.2.0/24`, with the length even for a single address. */
export function prefixText({ address, length }: Prefix): string {
	return `${address.text}/${length}`;
}

/** The netmask of a prefix length, in network order. */
export function maskBytes(family: Family, length: number): number[] {
	const bytes: number[] = [];
	for (let bits = length; bytes.length < addressBits(family) / 8; bits -= 8) {
		bytes.push((0xff00 >> Math.min(8, Math.max(0, bits))) & 0xff);
	}
	return bytes;
}

export function prefixContains(prefix: Prefix, address: Address): boolean {
	return (
		prefix.address.family === address.family &&
		sameAddress(prefixOf(address, prefix.length).address, prefix.address)
	);
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups as "::". */
function formatIpv6(bytes: readonly number[]): string {
	const groups: number[] = [];
	for (let at = 0; at < 16; at += 2) groups.push(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0));
	const elided = longestZeros(groups);
	// IPv4-mapped addresses end with a dotted quad (RFC 5952 section 5), as inet_ntop prints them.
	if (elided.start === 0 && elided.length === 5 && groups[5] === 0xffff) {
		return `::ffff:${bytes.slice(12).join(".")}`;
	}
	let text = "";
	for (let at = 0; at < 8; at++) {
		if (at === elided.start) {
			text += "::";
			at += elided.length - 1;
			continue;
		}
		if (text !== "" && !text.endsWith(":")) text += ":";
		text += groups[at]?.toString(16);
	}
	return text;
}

/** The first of the longest runs of at least two zeros; `start` is -1 if there is none. */
function longestZeros(groups: readonly number[]): { readonly start: number; readonly length: number } {
	let [bestStart, bestLength] = [-1, 1];
	for (let start = 0; start < groups.length; start++) {
		if (groups[start] !== 0) continue;
		let end = start;
		while (groups[end] === 0) end++;
		if (end - start > bestLength) [bestStart, bestLength] = [start, end - start];
		start = end;
	}
	return { start: bestStart, length: bestLength };
}
