/** Frames of many flows for the VIP, and the real servers that get them. */
import assert from "node:assert/strict";
import type { Real } from "../../src/model/fleet.ts";
import { bytesOf, ethernet, ipv4, ipv6, tcp, udp } from "../packets/build.ts";
import { fragmentOf } from "../packets/fragment.ts";
import { DIRECTOR_MAC, real, VIP, type Wire } from "./wire.ts";

export const SYN = 0x02;
export const ACK = 0x10;

/** One frame for each of `flows` TCP flows of one family. */
export function flowFrames(flows: number, flags: number, family: "ipv4" | "ipv6" = "ipv4"): Uint8Array[] {
	return Array.from({ length: flows }, (_, n) => {
		const segment = tcp({ sourcePort: 1024 + (n % 60000), destinationPort: 80, data: "" });
		const payload = {
			protocol: 6,
			encode: (pseudo: Parameters<typeof segment.encode>[0]) => {
				const bytes = segment.encode(pseudo);
				bytes[13] = flags;
				return bytes;
			},
		};
		const packet =
			family === "ipv4"
				? ipv4({ source: `198.51.${n >> 8}.${n & 255 || 1}`, destination: VIP[0] }, payload)
				: ipv6({ source: `2001:db8:c::${n.toString(16)}`, destination: VIP[1] }, payload);
		return ethernet({ destination: DIRECTOR_MAC }, packet);
	});
}

/** The real server that got the packet: the last byte of its address. */
export function realsOf(frames: readonly Uint8Array[]): number[] {
	return frames.map((frame) => frame[(frame[12] ?? 0) === 0x86 ? 14 + 39 : 14 + 19] ?? 0);
}

/** The real servers of flows that stay in order on the wire. */
export function sendFlows(wire: Wire, frames: readonly Uint8Array[]): number[] {
	const result: number[] = [];
	for (let at = 0; at < frames.length; at += 64) {
		const some = frames.slice(at, at + 64);
		const back = wire.exchange(some);
		assert.equal(back.length, some.length, "frames that came back");
		result.push(...realsOf(back));
	}
	return result;
}

/** The first or the last fragment of each of `count` datagrams of as many flows. */
export function fragments(count: number, which: "first" | "last"): Uint8Array[] {
	return Array.from({ length: count }, (_, n) => {
		const data = "x".repeat(40);
		const whole = ipv4(
			{ destination: VIP[0], id: 1000 + n },
			udp({ sourcePort: 3000 + n, destinationPort: 80, data }),
		);
		const [from, to] = which === "first" ? [0, 24] : [24, 48];
		return ethernet({ destination: DIRECTOR_MAC }, fragmentOf(bytesOf(whole), from, to));
	});
}

/** The first `count` real servers. */
export const reals = (count: number): Real[] => Array.from({ length: count }, (_, i) => real(i + 1));
