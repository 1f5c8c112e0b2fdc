/** Encodes and decodes the entry of a real server. */
import { type Address, addressFromBytes, complementOfSum, type Dscp, dscp, type Family } from "@l3dsr/packet";
import type { RealHealth } from "../../model/fleet.ts";
import { HOP, REAL, REAL_FLAG } from "./layout.ts";

/** How a frame gets to a real. */
export type Hop =
	| {
			readonly to: "interface";
			readonly ifindex: number;
			/** MAC addresses of the neighbour and of our interface: six bytes each. */
			readonly nextHop: Uint8Array;
			readonly ownMac: Uint8Array;
			/** The largest IP packet, in bytes. */
			readonly mtu: number;
	  }
	/** By the kernel's routing, via an interface from which the program cannot send. */
	| { readonly to: "kernel"; readonly mtu: number }
	| { readonly to: "unresolved" };

/** An MTU without effect. */
const ANY_MTU = 0xffff_ffff;

export interface RealEntry {
	readonly address: Address;
	readonly dscp: Dscp;
	readonly up: boolean;
	/** From the last check. */
	readonly health: RealHealth;
	/** TICK when the real was removed, if it was. */
	readonly left?: number;
	readonly hop: Hop;
	/** Modulo 2^64. */
	readonly base: { readonly packets: bigint; readonly bytes: bigint };
}

export const UNRESOLVED: Hop = { to: "unresolved" };

export function encodeReal({ address, dscp: code, up, health, left, hop, base }: RealEntry): Uint8Array {
	return REAL.encode({
		address: Uint8Array.from(address.bytes),
		complement: complementOfSum(address.bytes),
		start: code << (address.family === "ipv4" ? 2 : 6),
		flags: flagsOf({ up, health }),
		left: left ?? 0,
		basePackets: base.packets,
		baseBytes: base.bytes,
		...encodeHop(hop),
	});
}

/** The flags of a taken number. */
export function flagsOf({ up, health }: Pick<RealEntry, "up" | "health">): number {
	return REAL_FLAG.used | (up ? REAL_FLAG.up : 0) | (health === "healthy" ? 0 : REAL_FLAG[health]);
}

/** The health in the flags of an entry. */
export function healthIn(flags: number): RealHealth {
	if ((flags & REAL_FLAG.failing) !== 0) return "failing";
	return (flags & REAL_FLAG.starting) !== 0 ? "starting" : "healthy";
}

function encodeHop(hop: Hop) {
	switch (hop.to) {
		case "interface":
			return { ifindex: hop.ifindex, nextHop: hop.nextHop, ownMac: hop.ownMac, mtu: hop.mtu };
		case "kernel":
			return { ifindex: HOP.kernel, mtu: hop.mtu };
		case "unresolved":
			return { ifindex: HOP.unresolved, mtu: ANY_MTU };
	}
}

/** Undefined if the number is free. */
export function decodeReal(bytes: Uint8Array, family: Family): RealEntry | undefined {
	const entry = REAL.decode(bytes);
	if ((entry.flags & REAL_FLAG.used) === 0) return undefined;
	return {
		address: addressFromBytes(entry.address.subarray(0, family === "ipv4" ? 4 : 16)),
		dscp: dscp((entry.start >> (family === "ipv4" ? 2 : 6)) & 63),
		up: (entry.flags & REAL_FLAG.up) !== 0,
		health: healthIn(entry.flags),
		...(entry.left === 0 ? {} : { left: entry.left }),
		hop: decodeHop(entry),
		base: { packets: entry.basePackets, bytes: entry.baseBytes },
	};
}

function decodeHop({ ifindex, nextHop, ownMac, mtu }: ReturnType<typeof REAL.decode>): Hop {
	if (ifindex === HOP.unresolved) return UNRESOLVED;
	if (ifindex === HOP.kernel) return { to: "kernel", mtu };
	return { to: "interface", ifindex, nextHop, ownMac, mtu };
}
