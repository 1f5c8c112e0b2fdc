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
function healthIn(flags: number): RealHealth {
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
	const view = new DataView(bytes.buffer, bytes.byteOffset, REAL.size);
	const flags = view.getUint16(REAL_AT.flags, true);
	if ((flags & REAL_FLAG.used) === 0) return undefined;
	const left = view.getUint32(REAL_AT.left, true);
	return {
		address: addressFromBytes(bytes.slice(REAL_AT.address, REAL_AT.address + (family === "ipv4" ? 4 : 16))),
		dscp: dscp((view.getUint16(REAL_AT.start) >> (family === "ipv4" ? 2 : 6)) & 63),
		up: (flags & REAL_FLAG.up) !== 0,
		health: healthIn(flags),
		...(left === 0 ? {} : { left }),
		hop: decodeHop(bytes, view),
		base: {
			packets: view.getBigUint64(REAL_AT.basePackets, true),
			bytes: view.getBigUint64(REAL_AT.baseBytes, true),
		},
	};
}

function decodeHop(bytes: Uint8Array, view: DataView): Hop {
	const ifindex = view.getUint32(REAL_AT.ifindex, true);
	if (ifindex === HOP.unresolved) return UNRESOLVED;
	const mtu = view.getUint32(REAL_AT.mtu, true);
	if (ifindex === HOP.kernel) return { to: "kernel", mtu };
	const mac = (at: number) => bytes.slice(at, at + MAC_BYTES);
	return { to: "interface", ifindex, nextHop: mac(REAL_AT.nextHop), ownMac: mac(REAL_AT.ownMac), mtu };
}

const MAC_BYTES = 6;

/** Offsets of the fields, looked up once: a command decodes thousands of entries before its code is hot. */
export const REAL_AT = {
	address: REAL.offsetOf("address"),
	start: REAL.offsetOf("start"),
	flags: REAL.offsetOf("flags"),
	nextHop: REAL.offsetOf("nextHop"),
	ownMac: REAL.offsetOf("ownMac"),
	ifindex: REAL.offsetOf("ifindex"),
	mtu: REAL.offsetOf("mtu"),
	left: REAL.offsetOf("left"),
	basePackets: REAL.offsetOf("basePackets"),
	baseBytes: REAL.offsetOf("baseBytes"),
} as const;
