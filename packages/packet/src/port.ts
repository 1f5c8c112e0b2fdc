/**
 * Transport ports (RFC 9293, RFC 768), as a type that the compiler distinguishes from protocols, DSCPs and
 * lengths.
 */

/** 0–65535. A packet can have port 0; a configuration cannot. */
export type Port = number & { readonly __brand: "Port" };

export const MAX_PORT = 65535;

export function isPort(value: number): value is Port {
	return Number.isInteger(value) && value >= 0 && value <= MAX_PORT;
}

/** Throws a RangeError outside 0–65535: callers that read text check with `isPort` first. */
export function portOf(value: number): Port {
	if (!isPort(value)) throw new RangeError(`port ${value} is out of range, expected 0-${MAX_PORT}`);
	return value;
}
