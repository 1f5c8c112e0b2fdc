/**
 * A network namespace without a name in which packets arrive at an interface called like this host's, and go
 * the way that they would go here: PREROUTING, then INPUT for what is this host's own, FORWARD and POSTROUTING
 * for the rest. Behind each the packet is taken down, byte by byte. Nothing leaves the namespace, and nothing
 * of it is left when this process ends, however it ends.
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
	/** Where packets arrive; empty where no name is known. */
	readonly interface: string;
	/** Routes of type "local". */
	readonly local: readonly Prefix[];
	/** Of every packet. */
	readonly mark: number;
	/** Let packets go on behind PREROUTING. */
	readonly beyondPrerouting: boolean;
}

export interface ArrivingPacket {
	/** From the network header, of IPv4 or IPv6. */
	readonly bytes: Uint8Array;
	readonly sourceMac?: readonly number[];
}

/** What became of a packet. The stack may have dropped it before either place. */
export interface Passage {
	/** Behind PREROUTING. */
	readonly arrived?: Uint8Array;
	/** Behind INPUT, or behind POSTROUTING; there with the TTL (hop limit) that it came with. */
	readonly left?: { readonly way: "local" | "forwarded"; readonly bytes: Uint8Array };
}

const NO_MAC = [0, 0, 0, 0, 0, 0] as const;
const ETHER_TYPE = { 4: [0x08, 0x00], 6: [0x86, 0xdd] } as const;
/**
 * Receiver of the frames: a locally administered group, with the packet's number in the last four bytes. It
 * travels with the packet, is not part of it, and no rule of ours asks for it.
 */
const GROUP_MAC = 0x03;
/** A packet that is taken down before any rule: when it has come, those before it have. */
const LAST_MAC = [GROUP_MAC, 0xff, 0xff, 0xff, 0xff, 0xff] as const;
/** A namespace of its own has all groups of NFLOG to itself. */
const LOG_GROUP = 1;
/** What a log message has room for. */
export const LARGEST_LOGGED = 0xffff - 4;
const LARGEST_MTU = 65535;
const BATCH_FRAMES = 128;
const BATCH_BYTES = 256 * 1024;
/** For a batch, which takes less than a millisecond on an idle machine. */
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

	/** Sends packets in order and says what became of each. Throws L3dsrError (KERNEL_SYSCALL). */
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
			// A merged packet that no interface takes from outside.
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
				// What the stack of the namespace sends by itself has none of ours.
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

/** The loopback has its other end in itself; every other name is one end of a pair. */
function interfaceNames(name: string): { readonly arrival: string; readonly sender: string } {
	if (name === "lo") return { arrival: name, sender: name };
	const arrival = name === "" ? "l3dsr-none" : name;
	return { arrival, sender: arrival === "l3dsr-peer" ? "l3dsr-peer2" : "l3dsr-peer" };
}

/** Routers that trust everybody: what a packet's way is, the rules and the local addresses alone decide. */
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
		// No address of its own for any interface.
		"ipv6/conf/default/addr_gen_mode": 1,
	};
	for (const [name, value] of Object.entries(settings)) {
		try {
			writeFileSync(`/proc/sys/net/${name}`, String(value));
		} catch {
			// A kernel without IPv6 has not all of them; a packet that then does not get through is said to.
		}
	}
}

function setUpLinks(arrival: string, sender: string): void {
	if (arrival !== sender) {
		createLink({ kind: "veth", name: arrival, mtu: LARGEST_MTU, peer: { name: sender, mtu: LARGEST_MTU } });
	}
	for (const name of new Set(["lo", arrival, sender])) changeLink(interfaceByName(name).index, { up: true });
}

/** What is not local goes to where it came from, and is taken off before it gets there. */
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
			// A stack without IPv6 refuses that family's routes, and has no rules for it either.
			if (!(error instanceof SyscallError)) throw error;
		}
	}
}

/** Priorities in front of raw's (-300), and between mangle's (-150) and those of what comes next (dstnat, -100). */
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
	// INPUT sees datagrams of IPv4 whole: a fragment would wait there for the others.
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
		// Errors that the stack answers with.
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

/** The smallest IPv4 packet that a stack takes. */
const LAST_FRAME = ((): Uint8Array => {
	const header = Uint8Array.of(0x45, 0, 0, 20, 0, 0, 0, 0, 1, 255, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2);
	putWord(header, 10, ~foldSum(sumOfWords(header)) & 0xffff);
	return Uint8Array.from([...LAST_MAC, ...NO_MAC, ...ETHER_TYPE[4], ...header]);
})();

/** Undoes what routers do: the header checksum of a packet that came this far was right. */
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
