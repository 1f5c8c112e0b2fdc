/** Definitions shared by all kinds of rtnetlink objects: message types, families, scopes, the socket. */
import { Layout } from "../layout.ts";
import { Netlink } from "../netlink.ts";
import { attribute } from "../netlink-attribute.ts";
import { AF_INET, AF_INET6 } from "../socket.ts";

/** Message types, include/uapi/linux/rtnetlink.h. */
export const RTM = {
	NEWLINK: 16,
	DELLINK: 17,
	GETLINK: 18,
	SETLINK: 19,
	NEWADDR: 20,
	DELADDR: 21,
	GETADDR: 22,
	NEWROUTE: 24,
	DELROUTE: 25,
	GETROUTE: 26,
	NEWNEIGH: 28,
	DELNEIGH: 29,
	GETNEIGH: 30,
	NEWRULE: 32,
	DELRULE: 33,
	GETRULE: 34,
	NEWQDISC: 36,
	DELQDISC: 37,
	NEWTFILTER: 44,
	DELTFILTER: 45,
	NEWLINKPROP: 108,
	DELLINKPROP: 109,
} as const;

/** struct rtmsg; struct fib_rule_hdr has the same layout, with an action in place of the type. */
export const RTMSG = new Layout({
	family: "u8",
	destinationLength: "u8",
	sourceLength: "u8",
	tos: "u8",
	table: "u8",
	protocol: "u8",
	scope: "u8",
	type: "u8",
	flags: "u32",
});

/** The names in /etc/iproute2/rt_scopes. */
const SCOPES = { global: 0, site: 200, link: 253, host: 254, nowhere: 255 } as const;
export type ScopeName = keyof typeof SCOPES;

export function scopeNumber(name: ScopeName): number {
	return SCOPES[name];
}

/** `global`; the number as text if it has no name. */
export function scopeName(number: number): string {
	return nameIn(SCOPES, number);
}

/** The name of a number in a table, or the number itself as text. */
export function nameIn(table: Readonly<Record<string, number>>, number: number): string {
	for (const name of Object.keys(table)) if (table[name] === number) return name;
	return String(number);
}

/** An IP address (4 or 16 bytes, network order) with the length of its prefix in bits. */
export interface IpPrefix {
	readonly bytes: Uint8Array;
	readonly length: number;
}

/** AF_INET for 4 bytes, AF_INET6 for 16. Throws RangeError for any other length. */
export function familyOf(bytes: ArrayLike<number>): number {
	if (bytes.length === 4) return AF_INET;
	if (bytes.length === 16) return AF_INET6;
	throw new RangeError(`an address has 4 or 16 bytes, not ${bytes.length}`);
}

/** All zeros, with the length of an address of the family. */
export function zeroAddress(family: number): Uint8Array {
	return new Uint8Array(family === AF_INET ? 4 : 16);
}

/** The attributes whose values are defined. */
export function given(
	...entries: readonly (readonly [type: number, value: Uint8Array | undefined])[]
): Uint8Array {
	return Buffer.concat(
		entries.flatMap(([type, value]) => (value === undefined ? [] : attribute(type, value))),
	);
}

/** Runs `work` with the given socket, or with one that is opened for it. */
export function withRtnetlink<T>(netlink: Netlink | undefined, work: (netlink: Netlink) => T): T {
	if (netlink !== undefined) return work(netlink);
	using own = new Netlink();
	return work(own);
}

/** `192.0.2.1` or `2001:db8::1` (not shortened): for messages. */
export function addressText(bytes: ArrayLike<number>): string {
	if (bytes.length === 4) return Array.from(bytes).join(".");
	const groups = Array.from({ length: bytes.length / 2 }, (_, index) =>
		(((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0)).toString(16),
	);
	const zeros = /(?:^|:)0(?::0)+(?:$|:)/g;
	const text = groups.join(":");
	const [longest] = [...text.matchAll(zeros)].map(([run]) => run).sort((a, b) => b.length - a.length);
	return longest === undefined ? text : text.replace(longest, "::");
}
