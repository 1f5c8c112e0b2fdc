/**
 * The director on plain bytes: what happens to a frame, given the tables. It was written from
 * reference/director-packets.md, independently of the compiler, whose programs are compared with it on the same
 * frames.
 */
import { type Address, addressFromBytes, type Dscp, ETHER_TYPE, replaceInChecksum } from "@l3dsr/packet";
import type { FlowMode } from "../../model/director.ts";
import type { Affinity, EchoMode } from "../../model/fleet.ts";
import { datagramHash, type FlowKey, flowHash, slotOf } from "../hash.ts";
import type { Reason } from "../reason.ts";
import { RING_SLOTS } from "../ring.ts";
import { UDP_TICKS } from "../tables/layout.ts";
import { IN_TRANSITION, type Rings } from "../transition.ts";
import { entryLimit, type Flows, type Fragments } from "./memory.ts";
import {
	ICMP,
	ICMPV6,
	isClientAddress,
	quotedFlow,
	type ReadPacket,
	readIpv4,
	readIpv6,
	TCP,
	UDP,
	wordAt,
} from "./packet.ts";

/** How a frame gets to a real: to a neighbour with known addresses, or by the kernel's routing. */
export type Hop =
	| { readonly to: "interface"; readonly ifindex: number; readonly macs: Uint8Array; readonly mtu: number }
	| { readonly to: "kernel"; readonly mtu: number }
	/** No next hop is known, neither here nor to the kernel. */
	| { readonly to: "nowhere" };

export interface OracleReal {
	readonly address: Address;
	/** In the whole table. */
	readonly number: number;
	readonly up: boolean;
	readonly hop: Hop;
}

export interface OracleService {
	readonly address: Address;
	readonly protocol: number;
	/** 0: any port. */
	readonly port: number;
	readonly dscp: Dscp;
	readonly affinity: Affinity;
	readonly seed: bigint;
	readonly rings: Rings;
	/** By their numbers within the service. */
	readonly reals: readonly OracleReal[];
	/** When the transition began and when it last changed, in ticks. */
	readonly since: number;
	readonly changed: number;
}

export interface OracleVip {
	readonly address: Address;
	readonly echo: EchoMode;
	/** The service whose ring decides which real answers a ping. */
	readonly first?: OracleService;
}

export interface OracleTables {
	readonly vips: readonly OracleVip[];
	readonly services: readonly OracleService[];
	/** With `bleach`: the codes that packets from outside must not carry to each real server. */
	readonly codes: readonly { readonly address: Address; readonly codes: bigint }[];
	readonly flows: Flows;
	readonly fragments: Fragments;
}

export interface OracleOptions {
	/** The interface that receives the frame. */
	readonly ifindex: number;
	readonly mac: Uint8Array;
	/** Frames carry this VLAN tag. */
	readonly vlan?: number;
	readonly forward: "resolved" | "kernel";
	readonly flows: FlowMode;
	/** At tc, a packet may be merged from several and larger than any MTU, and frames cannot be sent back out. */
	readonly hook?: "xdp" | "tc";
}

/** How a packet's real server was found. */
export interface Choice {
	readonly service: OracleService;
	readonly slot: number;
	/** `ring`: by the slot; `before`: by the slot's real before its transition; `entry`: by the memory of flows. */
	readonly by: "ring" | "before" | "entry";
	/** Number of the real within the service; NOBODY if no real takes new flows. */
	readonly real: number;
}

export type OracleResult = {
	/** The frame as it is sent, a new array. */
	readonly frame: Uint8Array;
	/** Set if the packet got as far as the choice. */
	readonly choice?: Choice;
} & (
	| { readonly what: "pass" | "drop" | "answer"; readonly reason: Reason }
	/** Sent from an interface (`tx`: the one it came in on), or by the kernel. */
	| {
			readonly what: "forward";
			readonly by: "tx" | "redirect" | "kernel";
			readonly ifindex?: number;
			/** The real's number in the whole table. */
			readonly number: number;
			/** The length that its byte counter adds. */
			readonly length: number;
			readonly reason?: Reason;
	  }
);

/** A packet whose flow is known. */
interface Known {
	readonly packet: ReadPacket;
	readonly service: OracleService;
	readonly flow: FlowKey;
	/** Begins a TCP connection; may not leave an entry; is UDP. */
	readonly begins: boolean;
	readonly leavesNoEntry: boolean;
	readonly isUdp: boolean;
	/** Where the checksum that covers the destination is, from the network header. */
	readonly checksum?: number;
}

const FLAG = { syn: 0x02, rst: 0x04, ack: 0x10 } as const;
/** Tags that the kernel takes out of a frame before tc sees it: 802.1Q and 802.1ad. */
const VLAN_TYPES: readonly number[] = [ETHER_TYPE.vlan, ETHER_TYPE.serviceVlan];

/** What the director does with a frame at `now`, in ticks. Changes only the memories of `tables`. Never throws. */
export function direct(
	frame: Uint8Array,
	tables: OracleTables,
	options: OracleOptions,
	now: number,
): OracleResult {
	const pass = (reason: Reason): OracleResult => ({ what: "pass", reason, frame: Uint8Array.from(frame) });
	const link = options.vlan === undefined ? 14 : 18;
	if (frame.length < link + 20) return pass("not-ip");
	if (Buffer.compare(frame.subarray(0, 6), options.mac) !== 0) return pass("other-host");
	if (options.hook === "tc" && VLAN_TYPES.includes(wordAt(frame, 12))) return pass("vlan");
	if (
		options.vlan !== undefined &&
		(wordAt(frame, 12) !== ETHER_TYPE.vlan || (wordAt(frame, 14) & 0xfff) !== options.vlan)
	)
		return pass("vlan");
	const type = wordAt(frame, link - 2);
	const ip = frame.subarray(link);
	const isIpv4 = type === 0x0800;
	if (!isIpv4 && (type !== 0x86dd || ip.length < 40)) return pass("not-ip");
	if ((ip[0] ?? 0) >> 4 !== (isIpv4 ? 4 : 6)) return pass("not-ip");
	const director = new Director(frame, link, tables, options, now);
	const result = director.direct();
	return director.choice === undefined ? result : { ...result, choice: director.choice };
}

class Director {
	readonly #frame: Uint8Array;
	readonly #ip: Uint8Array;
	readonly #family: 4 | 6;
	readonly #tables: OracleTables;
	readonly #options: OracleOptions;
	readonly #now: number;
	choice: Choice | undefined;

	constructor(frame: Uint8Array, link: number, tables: OracleTables, options: OracleOptions, now: number) {
		this.#frame = Uint8Array.from(frame);
		this.#ip = this.#frame.subarray(link);
		this.#family = (this.#ip[0] ?? 0) >> 4 === 4 ? 4 : 6;
		this.#tables = tables;
		this.#options = options;
		this.#now = now;
	}

	get #source(): Uint8Array {
		return this.#family === 4 ? this.#ip.slice(12, 16) : this.#ip.slice(8, 24);
	}

	get #destination(): Uint8Array {
		return this.#family === 4 ? this.#ip.slice(16, 20) : this.#ip.slice(24, 40);
	}

	direct(): OracleResult {
		const destination = addressFromBytes(this.#destination).text;
		const vip = this.#tables.vips.find(({ address }) => address.text === destination);
		if (vip === undefined) return this.#notVip(destination);
		const packet = this.#family === 4 ? readIpv4(this.#ip) : readIpv6(this.#ip);
		if (typeof packet === "string") return this.#pass(packet);
		const { fragment } = packet;
		if (fragment !== undefined && fragment.offset > 0) return this.#laterFragment(packet, vip);
		const { protocol } = packet;
		if (protocol === TCP || protocol === UDP) return this.#transport(packet, vip);
		if (protocol === (this.#family === 4 ? ICMP : ICMPV6)) return this.#icmp(packet, vip);
		return this.#pass("no-service");
	}

	#pass(reason: Reason): OracleResult {
		return { what: "pass", reason, frame: this.#frame };
	}

	#notVip(destination: string): OracleResult {
		const real = this.#tables.codes.find(({ address }) => address.text === destination);
		const mask = this.#family === 4 ? 0x00fc : 0x0fc0;
		const start = wordAt(this.#ip, 0);
		const code = (start & mask) >> (this.#family === 4 ? 2 : 6);
		if (real === undefined || ((real.codes >> BigInt(code)) & 1n) === 0n) return this.#pass("not-vip");
		this.#putInHeader(0, [(start & ~mask) >> 8, start & ~mask & 0xff]);
		return this.#pass("bleached");
	}

	#transport(packet: ReadPacket, vip: OracleVip): OracleResult {
		const { protocol, transport, length } = packet;
		if (transport + (protocol === TCP ? 20 : 8) > length) return this.#pass("transport-cut");
		const flow: FlowKey = {
			source: this.#source,
			sourcePort: wordAt(this.#ip, transport),
			destinationPort: wordAt(this.#ip, transport + 2),
		};
		const service = this.#service(vip, protocol, flow.destinationPort);
		if (service === undefined) return this.#pass("no-service");
		if (!isClientAddress(this.#source, this.#destination)) return this.#pass("source");
		const flags = protocol === TCP ? (this.#ip[transport + 13] ?? 0) : 0;
		const [syn, ack, rst] = [flags & FLAG.syn, flags & FLAG.ack, flags & FLAG.rst];
		if (syn && ack) return this.#pass("syn-ack");
		const checksum = transport + (protocol === TCP ? 16 : 6);
		const isSummed = protocol === TCP || wordAt(this.#ip, checksum) !== 0;
		return this.#choose({
			packet,
			service,
			flow,
			begins: syn !== 0 && rst === 0,
			leavesNoEntry: rst !== 0,
			isUdp: protocol === UDP,
			...(isSummed ? { checksum } : {}),
		});
	}

	#icmp(packet: ReadPacket, vip: OracleVip): OracleResult {
		const { transport, length, fragment } = packet;
		if (transport + 8 > length) return this.#pass("transport-cut");
		const checksum = this.#family === 6 ? { checksum: transport + 2 } : {};
		const request = this.#family === 4 ? 8 : 128;
		if (this.#ip[transport] === request && this.#ip[transport + 1] === 0)
			return this.#echo({ ...packet, ...checksum }, vip);
		const quoted =
			fragment === undefined
				? quotedFlow(this.#ip.subarray(transport, length), this.#destination)
				: undefined;
		if (quoted === undefined) return this.#pass("icmp");
		const service = this.#service(vip, quoted.protocol, quoted.destinationPort);
		if (service === undefined) return this.#pass("no-service");
		if (!isClientAddress(this.#source, this.#destination)) return this.#pass("source");
		return this.#choose({
			packet,
			service,
			flow: quoted,
			begins: false,
			leavesNoEntry: true,
			isUdp: quoted.protocol === UDP,
			...checksum,
		});
	}

	#echo(packet: ReadPacket & { readonly checksum?: number }, vip: OracleVip): OracleResult {
		const isWhole = packet.fragment === undefined;
		const isXdp = this.#options.hook !== "tc";
		const answers = isXdp && vip.echo === "reply" && isWhole && this.#hasNoOptions(packet);
		if (vip.echo !== "server" && !answers) return this.#pass("echo");
		if (!isClientAddress(this.#source, this.#destination)) return this.#pass("source");
		if (answers) return this.#echoReply(packet);
		if (vip.first === undefined) return this.#pass("no-service");
		const { checksum } = packet;
		return this.#choose({
			packet,
			service: vip.first,
			flow: { source: this.#source, sourcePort: 0, destinationPort: 0 },
			begins: false,
			leavesNoEntry: true,
			isUdp: false,
			...(checksum === undefined ? {} : { checksum }),
		});
	}

	/** True if the echo request directly follows a plain header; only then does the program answer. */
	#hasNoOptions({ transport }: ReadPacket): boolean {
		return transport === (this.#family === 4 ? 20 : 40);
	}

	#echoReply({ transport }: ReadPacket): OracleResult {
		const [source, destination] = [this.#source, this.#destination];
		const macs = this.#frame.slice(0, 12);
		this.#frame.set(macs.subarray(6), 0);
		this.#frame.set(macs.subarray(0, 6), 6);
		const at = this.#family === 4 ? 12 : 8;
		this.#ip.set(destination, at);
		this.#ip.set(source, at + source.length);
		// The addresses only swap places, so no checksum changes.
		if (this.#family === 4) this.#putInHeader(8, [64, ICMP]);
		else this.#ip[7] = 64;
		const before = this.#ip.slice(transport, transport + 2);
		this.#ip[transport] = this.#family === 4 ? 0 : 129;
		this.#updateChecksum(transport + 2, before, this.#ip.subarray(transport, transport + 2));
		return { what: "answer", reason: "echo-reply", frame: this.#frame };
	}

	#laterFragment(packet: ReadPacket, vip: OracleVip): OracleResult {
		const { fragment, length } = packet;
		if (fragment === undefined) return this.#pass("no-service");
		const { protocol } = fragment;
		const drop = (reason: Reason): OracleResult => ({ what: "drop", reason, frame: this.#frame });
		if (protocol === TCP && fragment.offset === 8) return drop("fragment-tcp");
		const number = this.#tables.fragments.get(this.#datagram(fragment), this.#now);
		const real = this.#tables.services.flatMap(({ reals }) => reals).find((one) => one.number === number);
		const service = this.#tables.services.find(({ reals }) => reals.some((one) => one === real));
		if (real !== undefined && service !== undefined) {
			if (this.#hops <= 1) return this.#pass("hops");
			return this.#forward(real, service.dscp, length, undefined);
		}
		if (protocol === TCP || protocol === UDP) return drop("fragment-unknown");
		if (protocol !== (this.#family === 4 ? ICMP : ICMPV6)) return this.#pass("no-service");
		return vip.echo === "server" ? drop("fragment-unknown") : this.#pass("icmp");
	}

	#datagram({ identification, protocol }: NonNullable<ReadPacket["fragment"]>): bigint {
		return datagramHash({ source: this.#source, destination: this.#destination, identification, protocol });
	}

	#service(vip: OracleVip, protocol: number, port: number): OracleService | undefined {
		const own = this.#tables.services.filter(
			(one) => one.address.text === vip.address.text && one.protocol === protocol,
		);
		return own.find((one) => one.port === port) ?? own.find((one) => one.port === 0);
	}

	get #hops(): number {
		return this.#ip[this.#family === 4 ? 8 : 7] ?? 0;
	}

	#choose(known: Known): OracleResult {
		const { service, packet } = known;
		if (this.#hops <= 1) return this.#pass("hops");
		const ports = service.affinity === "source" ? { sourcePort: 0, destinationPort: 0 } : {};
		const hash = flowHash({ ...known.flow, ...ports }, service.seed);
		const real = service.reals[this.#realOf(hash, known)];
		if (real === undefined) return this.#pass("no-real");
		if (packet.fragment?.isFirst)
			this.#tables.fragments.set(this.#datagram(packet.fragment), real.number, this.#now);
		return this.#forward(real, service.dscp, packet.length, known.checksum);
	}

	/** The number of the flow's real within its service. Writes or renews its entry. */
	#realOf(hash: bigint, { service, begins, leavesNoEntry, isUdp }: Known): number {
		const { flows: mode } = this.#options;
		const { rings, reals } = service;
		const slot = slotOf(hash, RING_SLOTS);
		const value = rings.now[slot] ?? 0;
		const current = value & ~IN_TRANSITION;
		const isMoving = (value & IN_TRANSITION) !== 0;
		const found = (real: number, by: Choice["by"]) => {
			this.choice = { service, slot, by, real };
			return real;
		};
		if (mode === "none" || (mode === "transition" && !isMoving)) return found(current, "ring");
		const { flows } = this.#tables;
		const now = this.#now & 0xffff;
		const entry = flows.get(hash);
		const limit = entryLimit(mode, this.#now - service.since);
		if (entry !== undefined && ((now - entry.tick) & 0xffff) <= limit && reals[entry.real]?.up === true) {
			if (!begins && !leavesNoEntry) flows.set(hash, { real: entry.real, confirmed: true, tick: now });
			return found(entry.real, "entry");
		}
		const isOldUdp = isUdp && (this.#now - service.changed + 1) >>> 0 > UDP_TICKS + 1;
		const before = rings.before[slot] ?? 0;
		const goesBack = isMoving && !begins && !isOldUdp && reals[before]?.up === true;
		const real = goesBack ? before : current;
		const leaves = !leavesNoEntry && (begins || isUdp || mode === "always");
		if (leaves && reals[real] !== undefined) flows.set(hash, { real, confirmed: false, tick: now });
		return found(real, goesBack ? "before" : "ring");
	}

	/** Writes address, DSCP, hop limit, checksums and MAC addresses. */
	#forward(real: OracleReal, code: Dscp, length: number, checksum: number | undefined): OracleResult {
		const { hop, number } = real;
		const isTc = this.#options.hook === "tc";
		if (!isTc && hop.to !== "nowhere" && length > hop.mtu) return this.#pass("too-big");
		const before = this.#destination;
		const start = wordAt(this.#ip, 0);
		const marked = this.#family === 4 ? (start & ~0x00fc) | (code << 2) : (start & ~0x0fc0) | (code << 6);
		this.#putInHeader(0, [marked >> 8, marked & 0xff]);
		this.#putInHeader(this.#family === 4 ? 16 : 24, real.address.bytes);
		if (checksum !== undefined)
			this.#updateChecksum(checksum, before, Uint8Array.from(real.address.bytes), true);
		const out = { what: "forward", frame: this.#frame, number, length } as const;
		if (this.#options.forward === "kernel" || hop.to === "kernel") return { ...out, by: "kernel" };
		if (hop.to === "nowhere") return { ...out, by: "kernel", reason: "by-kernel" };
		if (this.#family === 4) this.#putInHeader(8, [this.#hops - 1, this.#ip[9] ?? 0]);
		else this.#ip[7] = this.#hops - 1;
		this.#frame.set(hop.macs, 0);
		const isSame = hop.ifindex === this.#options.ifindex;
		return { ...out, by: isSame ? "tx" : "redirect", ifindex: hop.ifindex };
	}

	/** Stores `after` at an even offset of the IP header, and updates the IPv4 header checksum. */
	#putInHeader(offset: number, after: readonly number[]): void {
		const before = this.#ip.slice(offset, offset + after.length);
		this.#ip.set(after, offset);
		if (this.#family === 4) this.#updateChecksum(10, before, after);
	}

	#updateChecksum(
		offset: number,
		before: ArrayLike<number>,
		after: ArrayLike<number>,
		isNeverZero = false,
	): void {
		const sum = replaceInChecksum(wordAt(this.#ip, offset), before, after);
		const written = sum === 0 && isNeverZero ? 0xffff : sum;
		this.#ip.set([written >> 8, written & 0xff], offset);
	}
}
