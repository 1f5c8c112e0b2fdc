/**
 * The six-bit code in the IP header (RFC 2474), and the only place that converts it to and from a TOS byte.
 */

/** 0–63. */
export type Dscp = number & { readonly __brand: "Dscp" };

/** The number of DSCP values. */
export const DSCP_COUNT = 64;

export function isDscp(value: number): value is Dscp {
	return Number.isInteger(value) && value >= 0 && value < DSCP_COUNT;
}

/** Throws a RangeError outside 0–63: callers that read text check with `isDscp` first. */
export function dscp(value: number): Dscp {
	if (!isDscp(value)) throw new RangeError(`DSCP ${value} is out of range, expected 0-63`);
	return value;
}

/** The upper six bits of an IPv4 TOS or IPv6 Traffic Class byte. */
export function dscpOfTos(tos: number): Dscp {
	return dscp((tos & 0xff) >> 2);
}

/** The TOS byte that carries this code, ECN bits zero. */
export function tosOfDscp(value: Dscp): number {
	return value << 2;
}

/** `7 (TOS 0x1c)`: 7, 28 and 0x1c are often confused, so messages show both forms. */
export function formatDscp(value: Dscp): string {
	return `${value} (TOS 0x${tosOfDscp(value).toString(16).padStart(2, "0")})`;
}

/**
 * Class names that `iptables -m dscp --dscp-class` accepts (RFC 2474, 2597, 3246), and further ones of nft
 * and the RFCs: DF (default forwarding, RFC 4594), LE (lower effort, RFC 8622), VA (VOICE-ADMIT, RFC 5865).
 */
export const DSCP_CLASSES: Readonly<Record<string, Dscp>> = Object.freeze({
	...Object.fromEntries(Array.from({ length: 8 }, (_, n) => [`CS${n}`, dscp(n * 8)])),
	BE: dscp(0),
	DF: dscp(0),
	LE: dscp(1),
	VA: dscp(44),
	...Object.fromEntries(
		[1, 2, 3, 4].flatMap((cls) => [1, 2, 3].map((drop) => [`AF${cls}${drop}`, dscp(cls * 8 + drop * 2)])),
	),
	EF: dscp(46),
});
