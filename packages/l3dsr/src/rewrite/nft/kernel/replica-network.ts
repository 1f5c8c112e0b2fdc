/**
 * An unnamed network namespace in which packets arrive at an interface with the same name as this host's, and take
 * the same path: PREROUTING, then INPUT for the host's own addresses, or FORWARD and POSTROUTING for others. After
 * each of these the packet is recorded byte by byte. Nothing leaves the namespace, and it disappears with this
 * process, however it ends.
 */

import { writeFileSync } from "node:fs";
import {
	changeLink,
	createLink,
	interfaceByName,
	Netlink,
	NetworkNamespace,
	PacketSocket,
	ROUTE_TABLE,
	replaceRoute,
	SyscallError,
} from "@l3dsr/linux";
import {
	assignMeta,
	type Command,
	type Expression,
	fibType,
	field,
	type LoggedPacket,
	masked,
	match,
	meta,
	Nftables,
	PacketLog,
	rawField,
	verdict,
} from "@l3dsr/nftables";
import { byteAt, foldSum, type Prefix, putWord, sumOfWords } from "@l3dsr/packet";
import { L3dsrError } from "../../../errors.ts";

export interface ReplicaNetworkOptions {
	/** The interface that packets arrive at; empty if no name is known. */
	readonly interface: string;
	/** Routes of type "local". */
	readonly local: readonly Prefix[];
	/** Mark of every packet. */
	readonly mark: number;
	/** Let packets continue after PREROUTING. */
	readonly beyondPrerouting: boolean;
}

export interface ArrivingPacket {
	/** From the network header, IPv4 or IPv6. */
	readonly bytes: Uint8Array;
	readonly sourceMac?: readonly number[];
}

/** What became of a packet. The stack may have dropped it before either point. */
export interface Passage {
	/** The packet after PREROUTING. */
	readonly arrived?: Uint8Array;
	/** The packet after INPUT or POSTROUTING; in the latter case with its original TTL (hop limit). */
	readonly left?: { readonly way: "local" | "forwarded"; readonly bytes: Uint8Array };
}

const NO_MAC = [0, 0, 0, 0, 0, 0] as const;
const ETHER_TYPE = { 4: [0x08, 0x00], 6: [0x86, 0xdd] } as const;
/**
 * Destination MAC address of the frames: a locally administered group address with the packet's number in the last
 * four bytes. It travels with the packet without being part of it, and no rule of ours matches on it.
 */
const GROUP_MAC = 0x03;
/** A packet that is recorded before any rule: once it has arrived, all earlier ones have too. */
const LAST_MAC = [GROUP_MAC, 0xff, 0xff, 0xff, 0xff, 0xff] as const;
/** The namespace has all NFLOG groups to itself. */
const LOG_GROUP = 1;
/** The most bytes that a log message holds. */
export const LARGEST_LOGGED = 0xffff - 4;
const LARGEST_MTU = 65535;
const BATCH_FRAMES = 128;
const BATCH_BYTES = 256 * 1024;
/** For one batch, which takes less than a millisecond on an idle machine. */
const BATCH_TIMEOUT_MS = 10_000;

export class ReplicaNetwork implements Disposable {
	readonly #namespace: NetworkNamespace;
	readonly #log: PacketLog;
	readonly #socket: PacketSocket;

	private constructor(namespace: NetworkNamespace, log: PacketLog, socket: PacketSocket) {
		this.#namespace = namespace;
		this.#log = log;
		this.#socket = socket;
	}

	/** Throws LinuxError, NftablesError. */
	static async open(options: ReplicaNetworkOptions): Promise<ReplicaNetwork> {
		const namespace = NetworkNamespace.create();
		let log: PacketLog | undefined;
		try {
			const { arrival, sender } = interfaceNames(options.interface);
			namespace.within(() => {
				setUpStack();
				setUpLinks(arrival, sender);
				setUpRoutes(options.local, sender);
			});
			using nftables = namespace.within(() => new Nftables());
			nftables.transact(tapTable(options));
			const opened = namespace.within(() => PacketLog.open([LOG_GROUP]));
			log = opened;
			const socket = namespace.within(() => new PacketSocket({ interfaceName: sender, etherType: 0 }));
			return new ReplicaNetwork(namespace, opened, socket);
		} catch (error) {
			log?.[Symbol.dispose]();
			namespace[Symbol.dispose]();
			throw error;
		}
	}

	/** See {@link NetworkNamespace.within}. */
	within<T>(work: () => T): T {
		return this.#namespace.within(work);
	}

	/** Sends packets in order and returns what became of each. Throws L3dsrError (KERNEL_SYSCALL). */
	send(packets: readonly ArrivingPacket[]): readonly Passage[] {
		const passages = packets.map((): { -readonly [K in keyof Passage]: Passage[K] } => ({}));
		let batch: Uint8Array[] = [];
		let bytes = 0;
		const flush = (): void => {
			this.#cross(batch, (packet, number) => {
				const passage = passages[number];
				if (passage === undefined) return;
				if (packet.prefix === "arrived") passage.arrived = packet.bytes;
				else if (packet.prefix === "local") passage.left = { way: "local", bytes: packet.bytes };
				else passage.left = { way: "forwarded", bytes: withTtlRestored(packet.bytes) };
			});
			batch = [];
			bytes = 0;
		};
		for (const [number, packet] of packets.entries()) {
			// A merged packet that no interface accepts from outside.
			if (packet.bytes.length > LARGEST_MTU) continue;
			const frame = frameOf(packet, number);
			if (batch.length === BATCH_FRAMES || bytes + frame.length > BATCH_BYTES) flush();
			batch.push(frame);
			bytes += frame.length;
		}
		flush();
		return passages;
	}

	#cross(frames: readonly Uint8Array[], receive: (packet: LoggedPacket, number: number) => void): void {
		const deadline = performance.now() + BATCH_TIMEOUT_MS;
		this.#socket.send([...frames, LAST_FRAME]);
		for (let last = false; !last; ) {
			if (!this.#log.wait(deadline - performance.now())) {
				throw notCarried("they did not pass in time");
			}
			this.#log.read((packet) => {
				const header = packet.linkHeader;
				// Packets that the namespace's stack sends itself do not have our MAC address.
				if (header === undefined || header[0] !== GROUP_MAC) return;
				if (header[1] === 0xff) last = true;
				else receive(packet, new DataView(header.buffer, header.byteOffset).getUint32(2));
			});
		}
		if (this.#log.lost > 0) throw notCarried(`${this.#log.lost} were lost on the way back`);
	}

	[Symbol.dispose](): void {
		this.#socket[Symbol.dispose]();
		this.#log[Symbol.dispose]();
		this.#namespace[Symbol.dispose]();
	}
}

function notCarried(why: string): L3dsrError {
	return new L3dsrError({
		code: "KERNEL_SYSCALL",
		message: `send packets through a copy of the nft rules: ${why}`,
	});
}

/** The loopback device receives what it sends; any other name is one end of a veth pair. */
function interfaceNames(name: string): { readonly arrival: string; readonly sender: string } {
	if (name === "lo") return { arrival: name, sender: name };
	const arrival = name === "" ? "l3dsr-none" : name;
	return { arrival, sender: arrival === "l3dsr-peer" ? "l3dsr-peer2" : "l3dsr-peer" };
}

/**
 * Makes the namespace a router that accepts every source, so that only the rules and the local addresses decide a
 * packet's path.
 */
function setUpStack(): void {
	const settings: Readonly<Record<string, number>> = {
		"ipv4/ip_forward": 1,
		"ipv4/conf/all/rp_filter": 0,
		"ipv4/conf/default/rp_filter": 0,
		"ipv4/conf/all/accept_local": 1,
		"ipv4/conf/all/route_localnet": 1,
		"ipv4/conf/all/send_redirects": 0,
		"ipv4/conf/default/send_redirects": 0,
		"ipv6/conf/all/disable_ipv6": 0,
		"ipv6/conf/default/disable_ipv6": 0,
		"ipv6/conf/all/forwarding": 1,
		"ipv6/conf/default/accept_dad": 0,
		// No automatic addresses on the interfaces.
		"ipv6/conf/default/addr_gen_mode": 1,
	};
	for (const [name, value] of Object.entries(settings)) {
		try {
			writeFileSync(`/proc/sys/net/${name}`, String(value));
		} catch {
			// A kernel without IPv6 lacks some of them; a packet that then does not get through is reported.
		}
	}
}

function setUpLinks(arrival: string, sender: string): void {
	if (arrival !== sender) {
		createLink({ kind: "veth", name: arrival, mtu: LARGEST_MTU, peer: { name: sender, mtu: LARGEST_MTU } });
	}
	for (const name of new Set(["lo", arrival, sender])) changeLink(interfaceByName(name).index, { up: true });
}

/** Packets that are not local are routed back to the sender, and recorded before they get there. */
function setUpRoutes(local: readonly Prefix[], sender: string): void {
	using netlink = new Netlink();
	const loopback = interfaceByName("lo").index;
	const { index } = interfaceByName(sender);
	const ways = [
		...local.map(({ address, length }) => ({
			destination: { bytes: address.bytes, length },
			type: "local" as const,
			table: ROUTE_TABLE.local,
			nextHops: [{ index: loopback }],
		})),
		...[4, 16].map((bytes) => ({
			destination: { bytes: new Uint8Array(bytes), length: 0 },
			nextHops: [{ index }],
		})),
	];
	for (const way of ways) {
		try {
			replaceRoute(way, netlink);
		} catch (error) {
			// A stack without IPv6 refuses routes of that family, and has no rules for it either.
			if (!(error instanceof SyscallError)) throw error;
		}
	}
}

/** Priorities before raw's (-300), and between mangle's (-150) and the next ones (dstnat, -100). */
function tapTable({ mark, beyondPrerouting }: ReplicaNetworkOptions): Command[] {
	const table = { family: "inet", name: "l3dsr_replica" } as const;
	const log = (prefix: string): Expression => ({ kind: "log", prefix, group: LOG_GROUP, queueThreshold: 64 });
	const chain = (
		name: string,
		hook: "prerouting" | "input" | "output" | "postrouting",
		priority: number,
		...rules: readonly (readonly Expression[])[]
	): Command[] => [
		{ do: "add chain", table, chain: { name, base: { type: "filter", hook, priority, policy: "accept" } } },
		...rules.map((expressions): Command => ({ do: "add rule", table, chain: name, rule: { expressions } })),
	];
	const isLast = match(rawField("link", 0, 48), "==", Uint8Array.from(LAST_MAC));
	const logAtOnce: Expression = { kind: "log", group: LOG_GROUP, queueThreshold: 1 };
	// INPUT sees IPv4 datagrams reassembled, so a fragment would wait there for the others.
	const localFragment = [
		...match(meta("nfproto"), "==", NFPROTO_IPV4),
		...match(masked(field("ip frag-off"), 0x3fff), "!=", 0),
		...match(fibType(["daddr"]), "==", RTN_LOCAL),
	];
	const drop = verdict("drop");
	return [
		{ do: "add table", table },
		...chain(
			"first",
			"prerouting",
			-450,
			[...isLast, logAtOnce, drop],
			[...assignMeta("pkttype", PACKET_HOST), ...assignMeta("mark", mark)],
		),
		...chain(
			"arrived",
			"prerouting",
			-140,
			[log("arrived")],
			[...(beyondPrerouting ? localFragment : []), drop],
		),
		...chain("local", "input", -140, [log("local"), drop]),
		...chain("forwarded", "postrouting", -140, [log("forwarded"), drop]),
		// Drop the errors that the stack sends.
		...chain("own", "output", -450, [drop]),
	];
}

const NFPROTO_IPV4 = 2;
/** linux/rtnetlink.h */
const RTN_LOCAL = 2;
/** linux/if_packet.h */
const PACKET_HOST = 0;

function frameOf({ bytes, sourceMac }: ArrivingPacket, number: number): Uint8Array {
	const frame = new Uint8Array(14 + bytes.length);
	frame[0] = GROUP_MAC;
	new DataView(frame.buffer).setUint32(2, number);
	frame.set([...(sourceMac ?? NO_MAC), ...(byteAt(bytes, 0) >> 4 === 6 ? ETHER_TYPE[6] : ETHER_TYPE[4])], 6);
	frame.set(bytes, 14);
	return frame;
}

/** The smallest IPv4 packet that a stack accepts. */
const LAST_FRAME = ((): Uint8Array => {
	const header = Uint8Array.of(0x45, 0, 0, 20, 0, 0, 0, 0, 1, 255, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2);
	putWord(header, 10, ~foldSum(sumOfWords(header)) & 0xffff);
	return Uint8Array.from([...LAST_MAC, ...NO_MAC, ...ETHER_TYPE[4], ...header]);
})();

/** Undoes the changes by routing: the header checksum of a packet that got this far was right. */
function withTtlRestored(bytes: Uint8Array): Uint8Array {
	const copy = Uint8Array.from(bytes);
	if (byteAt(copy, 0) >> 4 === 6) {
		copy[7] = byteAt(copy, 7) + 1;
		return copy;
	}
	copy[8] = byteAt(copy, 8) + 1;
	putWord(copy, 10, 0);
	putWord(copy, 10, ~foldSum(sumOfWords(copy.subarray(0, (byteAt(copy, 0) & 0x0f) * 4))) & 0xffff);
	return copy;
}
