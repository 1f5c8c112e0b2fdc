/**
 * Sends packets through this namespace's kernel and shows how each came out: sender → here → sink.
 *
 * The test file's own network namespace (see test/netns.ts) is the host under test. It forwards everything
 * that arrives on `in0` to `out0`, so every byte that a rule, a table or a program here has changed is
 * visible on the far side. Forwarding itself changes TTL or hop limit: compare with {@link forwarded}.
 *
 * Linux itself drops some packets, which never come out:
 * - before prerouting (ip_rcv_core, ip6_rcv_core): a bad IPv4 header checksum, version, header length or
 *   total length; an IPv6 packet longer than its bytes; invalid hop-by-hop options; IPv6 sources or
 *   destinations that are ::1 or a multicast source
 * - after prerouting, before forwarding: invalid IPv4 options, source routes; IPv4 sources 0.0.0.0/8,
 *   127.0.0.0/8, multicast, 255.255.255.255 or an address of this host; destinations 0.0.0.0/8, 127.0.0.0/8
 *   and 255.255.255.255
 * - while forwarding: TTL or hop limit 1 or 0; IPv6 link-local sources; packets larger than the link's MTU
 *   that must not be fragmented. Multicast, and packets for this host itself, are not forwarded either.
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import type { PendingChecksum } from "@l3dsr/linux";
import { parsePacket } from "@l3dsr/packet";
import { ip, Netns, run } from "../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../test/support/node.ts";
import { VOCABULARY } from "./arbitrary.ts";
import { bytesOf, type EthernetFields, ethernet, internetChecksum, macBytes, word } from "./build.ts";
import { type CapturedFrame, type CrossingReply, type CrossingRequest, LINKS } from "./crossing-protocol.ts";

export const IN_INTERFACE = LINKS.ingress;
export const OUT_INTERFACE = LINKS.egress;
/** Source of the incoming frames, for `-m mac`. */
export const SENDER_MAC = VOCABULARY.macs[0];
const INGRESS_MAC = "02:00:00:00:01:02";
const EGRESS_MAC = "02:00:00:00:02:01";
const SINK_MAC = "02:00:00:00:02:02";

export interface SendOptions {
	/**
	 * Send the packets with a pending transport checksum (CHECKSUM_PARTIAL), as a sender on the same host
	 * does. The given packets have complete ones; packets without a checksum are sent unchanged.
	 */
	readonly pendingChecksums?: boolean;
	/** Tags of the frames, outermost first. The stack itself accepts only priority tags (id 0). */
	readonly vlans?: EthernetFields["vlans"];
	/** Shorter frames are padded with zeros after the packet, as by network cards; Ethernet requires 60. */
	readonly minimumBytes?: number;
	/** Frames between two synchronisations, default 64. */
	readonly batch?: number;
}

/** `await using crossing = await Crossing.open()`, in a file that begins with `enterNetns()`. */
export class Crossing implements AsyncDisposable {
	readonly #sender: Netns;
	readonly #sink: Netns;
	readonly #worker: ChildProcess;

	private constructor(sender: Netns, sink: Netns, worker: ChildProcess) {
		this.#sender = sender;
		this.#sink = sink;
		this.#worker = worker;
	}

	static async open(): Promise<Crossing> {
		configureForwarding();
		const sender = quietPeer("sender");
		const sink = quietPeer("sink");
		link(LINKS.ingress, INGRESS_MAC, LINKS.sender, SENDER_MAC, sender);
		link(LINKS.egress, EGRESS_MAC, LINKS.sink, SINK_MAC, sink);
		// A forwarded packet with a pending checksum must come out with a complete one.
		run("ethtool", "-K", LINKS.egress, "tx", "off");
		for (const [family, via] of [
			["-4", "192.0.0.1"],
			["-6", "fe80::1"],
		]) {
			ip(`${family} neighbour replace ${via} lladdr ${SINK_MAC} nud permanent dev ${LINKS.egress}`);
			ip(`${family} route replace default via ${via} dev ${LINKS.egress} onlink`);
		}
		const worker = fork(new URL("./crossing-worker.ts", import.meta.url), [sender.name, sink.name], {
			execPath: "/usr/bin/taskset",
			execArgv: ["-c", String(anyCpu()), process.execPath, ...FROM_SOURCE],
			serialization: "advanced",
		});
		const ended = once(worker, "exit").then(([code]) => {
			throw new Error(`the crossing's worker ended with ${code}`);
		});
		await Promise.race([once(worker, "message"), ended]);
		ended.catch(() => {});
		return new Crossing(sender, sink, worker);
	}

	/**
	 * Sends IP packets and returns for each the packet that came out, or undefined. Packets are identified by
	 * source and IPv4 identification or IPv6 flow label, which must differ: see {@link withIdentity}.
	 */
	async send(
		packets: readonly Uint8Array[],
		options: SendOptions = {},
	): Promise<readonly (Uint8Array | undefined)[]> {
		const place = new Map<string, number>();
		for (const [i, packet] of packets.entries()) {
			const identity = identityOf(packet);
			if (place.has(identity)) throw new Error(`two packets have the identity ${identity}`);
			place.set(identity, i);
		}
		const frames = packets.map((packet) => {
			const pending = options.pendingChecksums
				? leaveChecksumPending(packet, options.vlans?.length)
				: undefined;
			const bytes = ethernet(
				{
					source: SENDER_MAC,
					destination: INGRESS_MAC,
					vlans: options.vlans ?? [],
					minimumBytes: options.minimumBytes ?? 0,
				},
				pending?.packet ?? packet,
			);
			return pending === undefined ? { bytes } : { bytes, pendingChecksum: pending.pendingChecksum };
		});
		const arrived = new Array<Uint8Array | undefined>(packets.length).fill(undefined);
		for (const { bytes } of await this.#cross({ frames, batch: options.batch ?? 64 })) {
			const packet = bytes.subarray(14);
			const index = place.get(identityOf(packet));
			// The kernel's own answers (ICMP errors, resets) have another source.
			if (index === undefined) continue;
			if (arrived[index] !== undefined) throw new Error(`a packet came out twice: ${identityOf(packet)}`);
			arrived[index] = packet;
		}
		return arrived;
	}

	async #cross(request: CrossingRequest): Promise<readonly CapturedFrame[]> {
		this.#worker.send(request);
		const [reply] = (await once(this.#worker, "message")) as [CrossingReply]; // the worker's message
		if ("error" in reply) throw new Error(reply.error);
		return reply.frames;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#worker.disconnect();
		await once(this.#worker, "exit");
		// Delete the links at once: deleting the peers' namespaces does so only in the background.
		for (const name of [LINKS.ingress, LINKS.egress]) ip(`link delete ${name}`);
		this.#sender[Symbol.dispose]();
		this.#sink[Symbol.dispose]();
	}
}

function configureForwarding(): void {
	const settings = {
		"ipv4/ip_forward": 1,
		"ipv4/conf/all/rp_filter": 0,
		"ipv4/conf/default/rp_filter": 0,
		"ipv6/conf/all/forwarding": 1,
		"ipv6/conf/default/accept_dad": 0,
		"ipv6/conf/all/accept_dad": 0,
	};
	for (const [name, value] of Object.entries(settings)) {
		writeFileSync(`/proc/sys/net/${name}`, String(value));
	}
}

/** One of the CPUs that this process may use, so that simultaneous tests are spread over them. */
function anyCpu(): number {
	const list = /^Cpus_allowed_list:\s*(.*)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
	const cpus = list.split(",").flatMap((part) => {
		const [first = 0, last = first] = part.split("-").map(Number);
		return Array.from({ length: last - first + 1 }, (_, i) => first + i);
	});
	return cpus[Math.floor(Math.random() * cpus.length)] ?? 0;
}

/** A namespace that sends nothing by itself. */
function quietPeer(role: string): Netns {
	const peer = new Netns(role);
	for (const which of ["all", "default"]) {
		peer.run("sh", "-c", `echo 1 > /proc/sys/net/ipv6/conf/${which}/disable_ipv6`);
	}
	return peer;
}

function link(here: string, hereMac: string, there: string, thereMac: string, netns: Netns): void {
	ip(`link add ${here} address ${hereMac} type veth peer name ${there} netns ${netns.name}`);
	netns.ip(`link set ${there} address ${thereMac}`);
	netns.ip(`link set ${there} up`);
	ip(`link set ${here} up`);
}

/** Source and identification (IPv4) or flow label (IPv6), which neither rules nor forwarding change. */
function identityOf(packet: Uint8Array): string {
	const source = packet.subarray(...((packet[0] ?? 0) >> 4 === 6 ? [8, 24] : [12, 16]));
	const id =
		(packet[0] ?? 0) >> 4 === 6 ? [(packet[1] ?? 0) & 0x0f, packet[2], packet[3]] : [packet[4], packet[5]];
	return `${Buffer.from(source).toString("hex")} ${id.join(" ")}`;
}

/**
 * The packet with another IPv4 identification (16 bits) or IPv6 flow label (20 bits); checksum errors stay.
 */
export function withIdentity(packet: Uint8Array, id: number): Uint8Array {
	const copy = Uint8Array.from(packet);
	if ((packet[0] ?? 0) >> 4 === 6) {
		copy.set([((packet[1] ?? 0) & 0xf0) | (id >> 16), (id >> 8) & 0xff, id & 0xff], 1);
		return copy;
	}
	const header = packet.subarray(0, ((packet[0] ?? 0) & 0x0f) * 4);
	const error = internetChecksum(header);
	copy.set(bytesOf(word(id), packet.subarray(6, 10), [0, 0]), 4);
	const right = internetChecksum(copy.subarray(0, header.length));
	// `error`: the difference of the old header's checksum from the right one.
	copy.set(bytesOf(word((right + 0xffff - error) % 0xffff)), 10);
	return copy;
}

/** The packet after a router has decremented TTL or hop limit: ip_decrease_ttl, ip6_forward. */
export function forwarded(packet: Uint8Array): Uint8Array {
	const copy = Uint8Array.from(packet);
	if ((copy[0] ?? 0) >> 4 === 6) {
		copy[7] = (copy[7] ?? 0) - 1;
		return copy;
	}
	copy[8] = (copy[8] ?? 0) - 1;
	const checksum = ((copy[10] ?? 0) << 8) | (copy[11] ?? 0);
	// The kernel adds 0x0100 with an end-around carry, as an increment of a big-endian word.
	const sum = checksum + 0x0100;
	copy.set(bytesOf(word(sum + (sum >= 0xffff ? 1 : 0))), 10);
	return copy;
}

/** The packet with a pending TCP or UDP checksum: the field contains only the sum of the pseudo-header. */
export function leaveChecksumPending(
	packet: Uint8Array,
	tags = 0,
): { packet: Uint8Array; pendingChecksum: PendingChecksum } | undefined {
	const parsed = parsePacket(packet);
	if (typeof parsed === "string" || parsed.transport === undefined) return undefined;
	const { protocol, offset, checksumOffset, checksumPresent } = parsed.transport;
	const fragment = parsed.family === "ipv4" && (((packet[6] ?? 0) << 8) | (packet[7] ?? 0)) & 0x3fff;
	if (checksumOffset === undefined || !checksumPresent || fragment || ![6, 17].includes(protocol)) {
		return undefined;
	}
	if (protocol === 17 && packet[checksumOffset] === 0 && packet[checksumOffset + 1] === 0) return undefined;
	const length = parsed.length - offset;
	// Sources and destinations are summed alike in both families, and so is a length below 64 KiB.
	const sum =
		0xffff - internetChecksum(parsed.source, parsed.destination, [0, protocol], bytesOf(word(length)));
	const copy = Uint8Array.from(packet);
	copy.set(bytesOf(word(sum)), checksumOffset);
	const header = 14 + 4 * tags;
	return {
		packet: copy,
		pendingChecksum: { startBytes: header + offset, offsetBytes: checksumOffset - offset },
	};
}

/** The source MAC of incoming frames as `-m mac` compares it. */
export const SENDER_MAC_BYTES = macBytes(SENDER_MAC);
