/**
 * Sends many probes at a time and matches their answers.
 *
 * A TCP probe is a SYN from a port on which our own kernel stays silent (`SilentPort`). The SYN+ACK, from whatever
 * address, acknowledges the random sequence number that no two probes share. A reset then removes the half-open
 * connection: it takes the same path with the same mark, so that it is rewritten to the same VIP. A late or repeated
 * SYN+ACK is also answered with a reset.
 */

import { randomBytes, randomInt } from "node:crypto";
import { IpSocket, SilentPort, SyscallError, sourceAddressFor, untilReadable } from "@l3dsr/linux";
import { type Address, addressFromBytes, dscpOfTos, TCP_FLAG, tosOfDscp } from "@l3dsr/packet";
import type { ProbeTarget } from "../model/probe-target.ts";
import { type Answer, isPortUnreachable } from "./answer.ts";
import {
	decodePacket,
	type Envelope,
	encodeEcho,
	encodeReset,
	encodeSyn,
	encodeUdp,
	type Incoming,
	type IncomingPacket,
	type Ports,
} from "./packet.ts";

export interface Probe {
	readonly target: ProbeTarget;
	/** Set the ECN bits to ECT(0), like the data packets of a connection with ECN. */
	readonly ecn?: boolean;
	/** TTL or hop limit; default 64. */
	readonly ttl?: number;
	/** Payload of a datagram or echo request; default: see probeData. */
	readonly data?: Uint8Array;
}

export interface ProbeOptions {
	/** How long to wait for an answer. Halfway, a probe is sent again in case it was lost. */
	readonly timeoutMs: number;
	/** The most probes that wait for an answer at the same time; default 256. */
	readonly inFlight?: number;
	readonly signal?: AbortSignal;
	readonly onAnswer?: (index: number, answer: Answer) => void;
}

/** A prober, with raw sockets or without. */
export interface Asker extends Disposable {
	/** The answer to each probe, in the same order. One call at a time. */
	ask(probes: readonly Probe[], options: ProbeOptions): Promise<Answer[]>;
}

export const DEFAULTS = { inFlight: 256, ttl: 64, ect0: 0x02 } as const;
/** How long a late or repeated SYN+ACK is answered with a reset: a server stops sending it after a minute. */
const LATE_MS = 60_000;
/** The most finished probes remembered for that. */
const MOST_REMEMBERED = 4096;
/** Probes sent in a row before answers are read; an answer's time is measured when it is read. */
const BURST = 16;

const DNS_PORT = 53;
/** A question that every name server answers: the NS records of the root. RFC 1035. */
const DNS_QUERY = Uint8Array.of(0x4c, 0x33, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1);
const DATA = new TextEncoder().encode("l3dsr probe\n");

/** A probe in flight. */
interface Flight {
	readonly index: number;
	readonly target: ProbeTarget;
	readonly envelope: Envelope;
	readonly ports: Ports;
	readonly packet: Uint8Array;
	/** TCP: the sequence number of the SYN. */
	readonly sequence: number;
	readonly lease: SilentPort | undefined;
	sentAt: number;
	resent: boolean;
	done: boolean;
}

/** `using prober = new Prober()`. Throws KERNEL_PERMISSION without CAP_NET_RAW. */
export class Prober implements Asker {
	readonly #socket = new IpSocket();
	/** Probes by the key in their answers: those that wait, and those finished recently. */
	readonly #flights = new Map<string, Flight>();
	/** Keys of finished probes, oldest first, and the time when each is forgotten. */
	readonly #over = new Map<string, number>();
	readonly #waiting = new Set<Flight>();
	/** Reserved ports by protocol and address, the one unused longest first. */
	readonly #ports = new Map<string, SilentPort[]>();
	readonly #sources = new Map<string, Address | number>();
	readonly #echoId = randomInt(0x10000);
	#echoSequence = 0;

	async ask(probes: readonly Probe[], options: ProbeOptions): Promise<Answer[]> {
		const answers = new Map<number, Answer>();
		const settle = (index: number, answer: Answer) => {
			answers.set(index, answer);
			options.onAnswer?.(index, answer);
		};
		const limit = options.inFlight ?? DEFAULTS.inFlight;
		let next = 0;
		// Routes may have changed since the last call.
		this.#sources.clear();
		while (next < probes.length || this.#waiting.size > 0) {
			options.signal?.throwIfAborted();
			for (let sent = 0; sent < BURST && this.#waiting.size < limit; sent++) {
				const probe = probes[next];
				if (probe === undefined) break;
				this.#launch(next++, probe, settle);
			}
			const mayLaunch = next < probes.length && this.#waiting.size < limit;
			if (mayLaunch)
				await new Promise((resolve) => setImmediate(resolve)); // let signals and output be handled
			else if (this.#waiting.size > 0) {
				const { signal } = options;
				await untilReadable(this.#socket.fds, { timeoutMs: this.#nextEvent(options), signal });
			}
			for (const bytes of this.#socket.receive()) this.#take(bytes, settle);
			this.#lookAtClock(options, settle);
		}
		return probes.map((_, index) => answers.get(index) ?? { kind: "none" });
	}

	#launch(
		index: number,
		{ target, ecn = false, ttl = DEFAULTS.ttl, data }: Probe,
		settle: (index: number, answer: Answer) => void,
	): void {
		const tos = tosOfDscp(target.dscp) | (ecn ? DEFAULTS.ect0 : 0);
		const source = this.#sourceFor(target.real, tos);
		if (typeof source === "number") {
			settle(index, { kind: "unsent", errno: source });
			return;
		}
		const envelope: Envelope = { source, destination: target.real, tos, ttl };
		const lease = target.protocol === "icmp" ? undefined : this.#lease(target.protocol, source);
		const ports: Ports = { sourcePort: lease?.port ?? 0, destinationPort: target.port ?? 0 };
		const sequence = target.protocol === "icmp" ? this.#nextEcho() : this.#newSequence();
		const flight: Flight = {
			index,
			target,
			envelope,
			ports,
			packet: encodeProbe(target, envelope, ports, {
				sequence,
				echoId: this.#echoId,
				data: data ?? probeData(ports.destinationPort),
			}),
			sequence,
			lease,
			sentAt: performance.now(),
			resent: false,
			done: false,
		};
		const key = keyOfFlight(flight);
		this.#over.delete(key);
		this.#flights.set(key, flight);
		const result = this.#socket.send(flight.packet, target.real.bytes);
		this.#waiting.add(flight);
		if (result < 0) this.#land(flight, { kind: "unsent", errno: -result }, settle);
	}

	#take(bytes: Uint8Array, settle: (index: number, answer: Answer) => void): void {
		const packet = decodePacket(bytes);
		if (packet === undefined) return;
		const { content } = packet;
		const flight = this.#flightOf(content);
		if (flight === undefined || packet.destination.text !== flight.envelope.source.text) return;
		const accepted = content.kind === "tcp" && (content.flags & TCP_FLAG.rst) === 0;
		if (accepted) {
			const reset = encodeReset(flight.envelope, flight.ports, content.acknowledgement);
			this.#socket.send(reset, flight.target.real.bytes);
		}
		if (flight.done) return;
		this.#land(flight, answerIn(packet, performance.now() - flight.sentAt), settle);
	}

	#flightOf(content: Incoming): Flight | undefined {
		const own = (flight: Flight | undefined, { sourcePort, destinationPort }: Ports) =>
			flight?.ports.sourcePort === sourcePort && flight.ports.destinationPort === destinationPort
				? flight
				: undefined;
		const turned = ({ sourcePort, destinationPort }: Ports): Ports => ({
			sourcePort: destinationPort,
			destinationPort: sourcePort,
		});
		switch (content.kind) {
			case "tcp":
				// A SYN takes one sequence number, and the answer acknowledges exactly that.
				return own(this.#flights.get(keyOf("tcp", (content.acknowledgement - 1) >>> 0)), turned(content));
			case "udp":
				return own(this.#flights.get(keyOf("udp", content.destinationPort)), turned(content));
			case "echo-reply":
				return content.id === this.#echoId ? this.#flights.get(keyOf("icmp", content.sequence)) : undefined;
			case "icmp-error": {
				const { what } = content.quoted;
				if (what.kind === "tcp") return own(this.#flights.get(keyOf("tcp", what.sequence)), what);
				if (what.kind === "udp") return own(this.#flights.get(keyOf("udp", what.sourcePort)), what);
				return what.id === this.#echoId ? this.#flights.get(keyOf("icmp", what.sequence)) : undefined;
			}
		}
	}

	/** Sends probes again that may have been lost, and gives up those whose time is over. */
	#lookAtClock({ timeoutMs }: ProbeOptions, settle: (index: number, answer: Answer) => void): void {
		const now = performance.now();
		for (const flight of this.#waiting) {
			const age = now - flight.sentAt;
			if (age >= timeoutMs) this.#land(flight, { kind: "none" }, settle);
			else if (age >= timeoutMs / 2 && !flight.resent) {
				flight.resent = true;
				this.#socket.send(flight.packet, flight.target.real.bytes);
			}
		}
	}

	/** Milliseconds until the next clock event. Flights are in the order in which they were sent. */
	#nextEvent({ timeoutMs }: ProbeOptions): number {
		const [oldest] = this.#waiting;
		if (oldest === undefined) return 0;
		const due = oldest.sentAt + (oldest.resent ? timeoutMs : timeoutMs / 2);
		return Math.max(0, due - performance.now());
	}

	#land(flight: Flight, answer: Answer, settle: (index: number, answer: Answer) => void): void {
		flight.done = true;
		this.#waiting.delete(flight);
		this.#forgetOld();
		this.#over.set(keyOfFlight(flight), performance.now() + LATE_MS);
		if (flight.lease !== undefined)
			this.#portsFor(flight.target.protocol, flight.envelope.source).push(flight.lease);
		settle(flight.index, answer);
	}

	/** Forgets finished probes for which no late answer is expected any more. */
	#forgetOld(): void {
		const now = performance.now();
		for (const [key, until] of this.#over) {
			if (until > now && this.#over.size < MOST_REMEMBERED) break;
			this.#over.delete(key);
			this.#flights.delete(key);
		}
	}

	#lease(protocol: "tcp" | "udp", source: Address): SilentPort {
		const idle = this.#portsFor(protocol, source);
		// Use each port as rarely as possible, so that a late answer is not taken for another probe's.
		return (
			(idle.length >= DEFAULTS.inFlight ? idle.shift() : undefined) ?? new SilentPort(protocol, source.bytes)
		);
	}

	#portsFor(protocol: string, source: Address): SilentPort[] {
		const key = `${protocol} ${source.text}`;
		const ports = this.#ports.get(key) ?? [];
		this.#ports.set(key, ports);
		return ports;
	}

	/** The source address to use, or the errno if there is none. */
	#sourceFor(real: Address, tos: number): Address | number {
		const key = `${real.text} ${tos}`;
		let source = this.#sources.get(key);
		if (source === undefined) {
			try {
				source = addressFromBytes(sourceAddressFor(real.bytes, tos));
			} catch (error) {
				if (!(error instanceof SyscallError)) throw error;
				source = error.errno;
			}
			this.#sources.set(key, source);
		}
		return source;
	}

	#nextEcho(): number {
		this.#echoSequence = (this.#echoSequence + 1) & 0xffff;
		return this.#echoSequence;
	}

	#newSequence(): number {
		for (;;) {
			const sequence = randomBytes(4).readUInt32BE();
			if (!this.#flights.has(keyOf("tcp", sequence))) return sequence;
		}
	}

	[Symbol.dispose](): void {
		this.#socket[Symbol.dispose]();
		for (const ports of this.#ports.values()) for (const port of ports) port[Symbol.dispose]();
		for (const { lease } of this.#waiting) lease?.[Symbol.dispose]();
		this.#ports.clear();
		this.#waiting.clear();
	}
}

function keyOfFlight({ target, ports, sequence }: Flight): string {
	return keyOf(target.protocol, target.protocol === "udp" ? ports.sourcePort : sequence);
}

function keyOf(protocol: ProbeTarget["protocol"], number: number): string {
	return `${protocol} ${number}`;
}

/** Payload of a datagram or an echo request. */
export function probeData(port: number): Uint8Array {
	return port === DNS_PORT ? DNS_QUERY : DATA;
}

function encodeProbe(
	{ protocol }: ProbeTarget,
	envelope: Envelope,
	ports: Ports,
	{ sequence, echoId, data }: { sequence: number; echoId: number; data: Uint8Array },
): Uint8Array {
	switch (protocol) {
		case "tcp":
			return encodeSyn(envelope, ports, sequence);
		case "udp":
			return encodeUdp(envelope, ports, data);
		case "icmp":
			return encodeEcho(envelope, echoId, sequence, data);
	}
}

export function answerIn({ source: from, tos, content }: IncomingPacket, afterMs: number): Answer {
	const dscp = dscpOfTos(tos);
	switch (content.kind) {
		case "tcp":
			return (content.flags & TCP_FLAG.rst) === 0
				? { kind: "accepted", from, afterMs, dscp }
				: { kind: "refused", from, afterMs };
		case "udp":
		case "echo-reply":
			return { kind: "accepted", from, afterMs, dscp };
		case "icmp-error": {
			const { type, code, mtu, quoted } = content;
			const quotedDscp = dscpOfTos(quoted.tos);
			if (isPortUnreachable(from.family, type, code))
				return { kind: "refused", from, afterMs, dscp: quotedDscp };
			const about = quoted.destination;
			const common = { kind: "icmp", from, afterMs, type, code, dscp: quotedDscp, about } as const;
			return mtu === undefined ? common : { ...common, mtu };
		}
	}
}
