/** One kind of packet, built from scratch from header fields. */
import type { Family } from "@l3dsr/packet";
import {
	cut,
	type Extension,
	type Ipv4Fields,
	type Ipv6Fields,
	ipv4,
	ipv6,
	type Payload,
	type PortFields,
	raw,
} from "./build.ts";
import { fragmentOf } from "./fragment.ts";

/** The differences between the incoming and the outgoing packet. */
export interface Variation {
	readonly destination: string;
	readonly dscp: number;
	/** Destination port of packets that have one which a rewrite may change. */
	readonly port: number;
	/** IPv4 identification or IPv6 flow label, which identifies a packet in a run. */
	readonly id: number;
}

/** Where Linux itself drops the packet when it forwards without rules. */
export type KernelVerdict = "forwards" | "drops before prerouting";

export interface PacketCase {
	readonly name: string;
	readonly family: Family;
	/** The IP packet. */
	build(variation: Variation): Uint8Array;
	/** A DADDR rule leaves it unchanged. */
	readonly untouched?: boolean;
	/** The rewrite cannot reach a transport header that should be there. */
	readonly malformed?: boolean;
	/** `--set-dport` changes its port. */
	readonly hasPort?: boolean;
	readonly kernel?: KernelVerdict;
}

export type More = Omit<PacketCase, "name" | "family" | "build">;
export type Body = (variation: Variation) => Payload;

export const ported: More = { hasPort: true };
export const malformed: More = { malformed: true };
export const unreadable: More = { untouched: true, kernel: "drops before prerouting" };

export function v4(name: string, body: Body, more: More = {}, fields: Ipv4Fields = {}): PacketCase {
	return {
		name: `IPv4 ${name}`,
		family: "ipv4",
		build: (v) => ipv4({ destination: v.destination, dscp: v.dscp, id: v.id, ...fields }, body(v)),
		...more,
	};
}

export function v6(name: string, body: Body, more: More = {}, fields: Ipv6Fields = {}): PacketCase {
	return {
		name: `IPv6 ${name}`,
		family: "ipv6",
		build: (v) => ipv6({ destination: v.destination, dscp: v.dscp, flowLabel: v.id, ...fields }, body(v)),
		...more,
	};
}

/** A packet with extension headers, which may need the packet's own destination. */
export function chain(
	name: string,
	extensions: (v: Variation) => readonly Extension[],
	body: Body,
	more: More = {},
): PacketCase {
	return {
		name: `IPv6 ${name}`,
		family: "ipv6",
		build: (v) =>
			ipv6({ destination: v.destination, dscp: v.dscp, flowLabel: v.id, extensions: extensions(v) }, body(v)),
		...more,
	};
}

/** The bytes `from` to `to` of another case's packet, as a fragment. */
export function fragment(
	name: string,
	whole: PacketCase,
	from: number,
	to: number,
	more: More = {},
	unfragmentable = 0,
): PacketCase {
	return {
		name: `${whole.family === "ipv4" ? "IPv4" : "IPv6"} ${name}`,
		family: whole.family,
		// A port in a fragment can be changed only if its checksum is there too.
		build: (v) => fragmentOf(whole.build(v), from, to, unfragmentable),
		...more,
	};
}

/**
 * The transport header stays as it was sent, whatever the rewrite does: it is built for one destination only.
 */
export function frozen(family: Family, payload: Payload, length: number): Body {
	const source = family === "ipv4" ? [198, 51, 100, 1] : [0x20, 0x01, 0x0d, 0xb8, ...new Array(12).fill(1)];
	return () => raw(payload.protocol, cut(payload, length).encode({ source, destination: source }));
}

export const sealed = "opaque".repeat(6);
export const odd = "an odd number of bytes!";
export const toPort = ({ port }: Variation) => ({ destinationPort: port });

/**
 * A packet to `destination`, port 80, whose checksum is 0. Other destinations and ports get the same data,
 * and so another checksum.
 */
export function zeroSumFor(
	destination: string,
	family: Family,
	transport: (fields: PortFields) => Payload,
): Body {
	const packet = (data: Uint8Array) =>
		family === "ipv4"
			? ipv4({ destination }, transport({ data }))
			: ipv6({ destination }, transport({ data }));
	const empty = packet(new Uint8Array(2));
	const checksumOffset = (family === "ipv4" ? 20 : 40) + (transport({}).protocol === 6 ? 16 : 6);
	// With data of 0, the checksum is the difference from ffff, which the data must have.
	const data = empty.slice(checksumOffset, checksumOffset + 2);
	return ({ port }) => transport({ data, destinationPort: port });
}

/** The VIPs of the README, to which tests rewrite. */
export const VIP_IPV4 = "72.30.38.140";
export const VIP_IPV6 = "fc00:1000:0:6::10";
export const REAL_IPV4 = "192.0.2.10";
export const REAL_IPV6 = "2001:db8:a::10";
