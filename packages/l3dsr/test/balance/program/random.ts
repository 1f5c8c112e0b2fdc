/** Random worlds and random frames for them; the same seed gives the same ones. */
import { NOBODY, RING_SLOTS } from "../../../src/balance/ring.ts";
import { IN_TRANSITION } from "../../../src/balance/transition.ts";
import {
	bytesOf,
	cut,
	type Extension,
	ethernet,
	extension,
	icmp,
	icmpv6,
	internetChecksum,
	ipv4,
	ipv6,
	type Payload,
	raw,
	sctp,
	tcp,
	udp,
	word,
} from "../../packets/build.ts";
import { fragmentOf } from "../../packets/fragment.ts";
import type { RealSketch, ServiceSketch, World, WorldSketch } from "./world.ts";

/** mulberry32 */
export class Random {
	#state: number;

	constructor(seed: number) {
		this.#state = seed >>> 0;
	}

	/** 0 to `below` - 1. */
	below(below: number): number {
		this.#state = (this.#state + 0x6d2b79f5) >>> 0;
		let t = this.#state;
		t = Math.imul(t ^ (t >>> 15), t | 1);
		t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
		return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
	}

	/** True once in `n`. */
	onceIn(n: number): boolean {
		return this.below(n) === 0;
	}

	one<T>(list: readonly T[]): T {
		return list[this.below(list.length)] as T;
	}

	bytes(length: number): Uint8Array {
		return Uint8Array.from({ length }, () => this.below(256));
	}
}

const VIPS = {
	ipv4: ["192.0.2.10", "192.0.2.11", "192.0.2.12"],
	ipv6: ["2001:db8:a::10", "2001:db8:a::11", "2001:db8:a::12"],
} as const;
const REALS = {
	ipv4: ["10.1.0.11", "10.1.0.12", "10.2.3.4", "255.255.0.1", "1.0.0.0"],
	ipv6: [
		"2001:db8:1::11",
		"2001:db8:1::12",
		"fd00:1:2:3:4:5:6:7",
		"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
		"1::",
	],
} as const;
const SOURCES = {
	ipv4: [
		"198.51.100.1",
		"198.51.100.2",
		"203.0.113.77",
		"10.9.8.7",
		"223.255.255.255",
		"1.0.0.1",
		"0.1.2.3",
		"127.0.0.1",
		"224.0.0.5",
		"255.255.255.255",
		"192.0.2.10",
		"192.0.2.11",
	],
	ipv6: [
		"2001:db8:c::1",
		"2001:db8:c::2",
		"fd00::77",
		"64:ff9b::1.2.3.4",
		"2001:db8:c:d:e:f:0:1",
		"::1",
		"::",
		"::ffff:1.2.3.4",
		"fe80::1",
		"febf::1",
		"fec0::1",
		"ff02::1",
		"fd80::1",
		"2001:db8:a::10",
		"2001:db8:a::11",
	],
} as const;
const PORTS = [80, 443, 53, 1, 65535, 8080];
const CLIENT_PORTS = [40000, 40001, 40002, 1024, 65535, 0];

function realSketches(random: Random, family: "ipv4" | "ipv6", forward: "resolved" | "kernel"): RealSketch[] {
	return Array.from({ length: 1 + random.below(5) }, (_, index) => ({
		address: REALS[family][index] as string,
		up: !random.onceIn(4),
		hop:
			forward === "kernel"
				? ({ to: "kernel", mtu: random.one([1500, 576]) } as const)
				: random.one([
						{ to: "unresolved" },
						{ to: "kernel", mtu: 1500 },
						...[7, 7, 9].map(
							(ifindex) =>
								({
									to: "interface",
									ifindex,
									nextHop: random.bytes(6),
									ownMac: random.bytes(6),
									mtu: random.one([1500, 1500, 90]),
								}) as const,
						),
					] as const),
	}));
}

/**
 * VIPs of both families with services of every kind. `any`: some have port `any`, for which the programs are
 * then compiled.
 */
export function randomSketch(random: Random, any: boolean, forward: "resolved" | "kernel"): WorldSketch {
	const services = (["ipv4", "ipv6"] as const).flatMap((family): ServiceSketch[] => {
		const [first, second] = VIPS[family];
		const service = (vip: string, protocol: 6 | 17, port: number): ServiceSketch => ({
			vip,
			protocol,
			port,
			dscp: 1 + random.below(63),
			affinity: random.onceIn(3) ? "source" : "flow",
			reals: realSketches(random, family, forward),
		});
		return [
			service(first, 6, 80),
			service(first, 17, 443),
			service(second, 17, 53),
			...(any ? [service(first, 6, 0), service(second, 17, 0)] : []),
		];
	});
	return {
		vips: [...VIPS.ipv4, ...VIPS.ipv6].map((address) => ({
			address,
			echo: random.one(["kernel", "reply", "server"]),
		})),
		services,
		codes: random.onceIn(2)
			? []
			: [REALS.ipv4[0], REALS.ipv6[0]].map((address) => ({
					address,
					codes: BigInt(random.below(2 ** 30)) << BigInt(random.below(34)),
				})),
	};
}

/** Slots in every state, even in impossible ones. */
export function randomRings(
	random: Random,
	world: World,
	services: readonly ServiceSketch[],
	now: number,
): void {
	services.forEach(({ reals }, number) => {
		const { now: ring, before } = world.rings(number);
		const somebody = () => (random.onceIn(20) ? NOBODY : random.below(reals.length));
		const anybody = () => (random.onceIn(20) ? random.one([NOBODY, 7, 0x7ffe]) : random.below(reals.length));
		// A repeated pattern of 251 slots: 65,537 random numbers would take longer than the packets.
		const pattern = Array.from({ length: 251 }, () => [
			somebody() | (random.onceIn(2) ? IN_TRANSITION : 0),
			anybody(),
		]);
		for (let slot = 0; slot < RING_SLOTS; slot++) {
			const [value = 0, previous = 0] = pattern[slot % 251] ?? [];
			ring[slot] = value;
			before[slot] = previous;
		}
		world.setTransition(
			number,
			now - random.one([0, 1, 5, 40, 5000]),
			now - random.one([0, 5, 27, 30, 60, 5000]),
		);
	});
	world.write();
}

function transport(random: Random): Payload {
	const fields = {
		sourcePort: random.one(CLIENT_PORTS),
		destinationPort: random.one(PORTS),
		data: random.bytes(random.one([0, 1, 7, 32, 33, 100])),
		...(random.onceIn(10) ? { checksumError: 1 + random.below(0xfff0) } : {}),
	};
	const flags = random.one([0x02, 0x02, 0x10, 0x10, 0x18, 0x11, 0x04, 0x14, 0x12, 0x06, 0x16, 0x03, 0, 0xff]);
	switch (random.below(8)) {
		case 0:
			return udp({ ...fields, checksum: 0 });
		case 1:
		case 2:
			return udp(fields);
		default:
			return withByte(
				tcp({ ...fields, ...(random.onceIn(4) ? { options: [2, 4, 5, 180] } : {}) }),
				13,
				flags,
			);
	}
}

/** This makes the checksum wrong, which is fine: it has to stay equally wrong. */
function withByte(payload: Payload, offset: number, value: number): Payload {
	return {
		protocol: payload.protocol,
		encode(pseudo) {
			const bytes = payload.encode(pseudo);
			bytes[offset] = value;
			return bytes;
		},
	};
}

function extensions(random: Random): Extension[] {
	return Array.from({ length: random.one([1, 1, 1, 2, 3, 8, 9]) }, () =>
		random.one([
			extension.hopByHop(),
			extension.destinationOptions(1 + random.below(2)),
			extension.authentication(),
			extension.mobility(),
			extension.hip(),
			extension.shim6(),
			extension.fragment(0, false),
			extension.routing(0, "2001:db8::1"),
			...(random.onceIn(4)
				? [
						extension.routing(1, "2001:db8::1"),
						extension.overlong(extension.destinationOptions(), 5),
						extension.fragment(random.one([0, 8, 16]), random.onceIn(2), random.below(3)),
					]
				: []),
		]),
	);
}

/** A router's error about a packet that a real server has sent, mostly from a VIP to a client. */
function icmpError(random: Random, family: "ipv4" | "ipv6", vip: string): Payload {
	const body = random.one([tcp, udp])({
		sourcePort: random.one(PORTS),
		destinationPort: random.one(CLIENT_PORTS),
		data: random.bytes(random.one([0, 8, 40])),
	});
	const payload = random.onceIn(8) ? icmp() : body;
	const source = random.onceIn(8) ? random.one(VIPS[family]) : vip;
	const destination = random.one(SOURCES[family]);
	let quoted =
		family === "ipv4"
			? ipv4({ source, destination, options: random.onceIn(3) ? [1, 1, 1, 0] : [] }, payload)
			: ipv6(
					{ source, destination, extensions: random.onceIn(3) ? extensions(random).slice(0, 2) : [] },
					payload,
				);
	if (random.onceIn(6)) quoted = quoted.slice(0, 20 + random.below(60));
	if (random.onceIn(10)) quoted = fragmentOf(quoted, random.one([0, 8]), 16);
	if (random.onceIn(12)) quoted[0] = random.below(256);
	const protocol = family === "ipv4" ? 1 : 58;
	const type = random.one(family === "ipv4" ? [3, 3, 11, 12, 5, 4, 8, 70] : [1, 2, 3, 4, 137, 5, 129, 135]);
	const message = bytesOf([type, random.below(5)], word(0), { long: 0x5dc }, quoted);
	return {
		protocol,
		encode: () => bytesOf(message.subarray(0, 2), word(internetChecksum(message)), message.subarray(4)),
	};
}

function payloadOf(random: Random, family: "ipv4" | "ipv6", vip: string): Payload {
	switch (random.below(16)) {
		case 0:
		case 1:
		case 2:
			return icmpError(random, family, vip);
		case 3:
			return family === "ipv4"
				? icmp("ping", random.one([8, 8, 0, 13]))
				: icmpv6({ type: random.one([128, 128, 129, 135]) });
		case 4:
			return random.one([
				sctp(),
				raw(50, random.bytes(20)),
				raw(59, ""),
				raw(4, random.bytes(30)),
				raw(47, "x"),
			]);
		default:
			return transport(random);
	}
}

const OPTIONS = [
	[1, 1, 1, 1],
	[7, 4, 4, 0],
	[131, 7, 4, 10, 0, 0, 1, 0],
	[137, 7, 4, 10, 0, 0, 1, 0],
	[1, 131, 3, 4],
	[68, 1, 0, 0],
	[68, 40, 0, 0],
	[1, 1, 1, 7],
	[0, 131, 1, 1],
	new Array<number>(40).fill(1),
	[...new Array<number>(36).fill(1), 148, 4, 0, 0],
	[148, 4, 0, 0, 0, 0, 0, 0],
];

/** A frame, usually for this director. */
export function randomFrame(random: Random, vlan: number | undefined, mac = "02:00:00:00:00:01"): Uint8Array {
	const family = random.one(["ipv4", "ipv6"] as const);
	const vip = random.one(VIPS[family]);
	const destination = random.onceIn(8) ? random.one([...REALS[family], SOURCES[family][0] as string]) : vip;
	const header = {
		source: random.onceIn(2) ? random.one(SOURCES[family]) : (SOURCES[family][random.below(4)] as string),
		destination,
		dscp: random.below(64),
		ecn: random.below(4),
	};
	const ttl = random.onceIn(8) ? random.below(3) : 64;
	const payload = payloadOf(random, family, vip);
	const body = random.onceIn(12) ? cut(payload, random.below(24)) : payload;
	let packet =
		family === "ipv4"
			? ipv4(
					{
						...header,
						ttl,
						id: random.below(4),
						options: random.onceIn(5) ? random.one(OPTIONS) : [],
						...(random.onceIn(20) ? { checksumError: 1 + random.below(0xfff0) } : {}),
						...(random.onceIn(25) ? { totalLength: random.below(100) } : {}),
						...(random.onceIn(40) ? { headerWords: random.below(16) } : {}),
						...(random.onceIn(60) ? { version: random.below(16) } : {}),
					},
					body,
				)
			: ipv6(
					{
						...header,
						hopLimit: ttl,
						extensions: random.onceIn(4) ? extensions(random) : [],
						...(random.onceIn(25) ? { payloadLength: random.below(100) } : {}),
						...(random.onceIn(60) ? { version: random.below(16) } : {}),
					},
					body,
				);
	if (random.onceIn(8)) {
		const from = random.one([0, 0, 8, 16, 24]);
		const isWhole = family === "ipv6" || ((packet[0] ?? 0) & 15) === 5;
		if (isWhole && (packet[0] ?? 0) >> 4 === (family === "ipv4" ? 4 : 6) && packet.length > 48 + from)
			packet = fragmentOf(packet, from, from + random.one([8, 24, 32]));
	}
	let frame = ethernet(
		{
			destination: random.onceIn(40) ? random.one(["ff:ff:ff:ff:ff:ff", "02:00:00:00:00:09"]) : mac,
			etherType: random.onceIn(40)
				? random.one([0x0806, 0x8100, 0x0800, 0x86dd])
				: family === "ipv4"
					? 0x0800
					: 0x86dd,
			...(vlan === undefined || random.onceIn(30)
				? {}
				: { vlans: [{ id: random.onceIn(20) ? 5 : vlan, priority: random.below(8) }] }),
			minimumBytes: random.onceIn(2) ? 60 : 0,
		},
		packet,
	);
	if (random.onceIn(30)) frame = frame.slice(0, Math.max(14, random.below(frame.length)));
	if (random.onceIn(30)) frame[14 + random.below(Math.max(1, frame.length - 14))] = random.below(256);
	return frame;
}
