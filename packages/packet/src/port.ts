/** Transport ports (RFC 9293, RFC 768): numbers that the compiler keeps apart from protocols, DSCPs and lengths. */

/** 0–65535. A packet can carry 0; configuration names ports from 1 on. */
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
