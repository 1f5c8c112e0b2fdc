/**
 * Probes without privileges: UDP and ICMP echo from ordinary sockets that accept answers from any address. TCP cannot
 * be probed this way: a SYN+ACK from an unexpected address reaches no ordinary socket.
 *
 * It sees less than `Prober`: neither what this host's firewall or reverse path filter drops, nor the mark that an
 * ICMP error quotes.
 */

import { type DatagramEvent, DatagramSocket, ERRNO, SyscallError, untilReadable } from "@l3dsr/linux";
import { addressFromBytes, dscpOfTos, echoRequestMessage, tosOfDscp } from "@l3dsr/packet";
import type { ProbeTarget } from "../model/probe-target.ts";
import { type Answer, isPortUnreachable } from "./answer.ts";
import { type Asker, DEFAULTS, type Probe, type ProbeOptions, probeData } from "./prober.ts";

interface Flight {
	readonly index: number;
	readonly target: ProbeTarget;
	readonly socket: DatagramSocket;
	readonly data: Uint8Array;
	readonly sentAt: number;
	resent: boolean;
}

/** Sockets are open only while a probe waits, so there is nothing to close. */
export class PlainProber implements Asker {
	async ask(probes: readonly Probe[], options: ProbeOptions): Promise<Answer[]> {
		const answers = new Map<number, Answer>();
		const settle = (index: number, answer: Answer) => {
			answers.set(index, answer);
			options.onAnswer?.(index, answer);
		};
		const limit = options.inFlight ?? DEFAULTS.inFlight;
		const flights = new Set<Flight>();
		let next = 0;
		try {
			while (next < probes.length || flights.size > 0) {
				options.signal?.throwIfAborted();
				for (; flights.size < limit && next < probes.length; next++) {
					const launched = launch(next, probes[next]);
					if ("socket" in launched) flights.add(launched);
					else settle(next, launched);
				}
				// Nothing was sent, so there is nothing to wait for.
				if (flights.size === 0) continue;
				await untilReadable(
					[...flights].map(({ socket }) => socket.fd),
					{ timeoutMs: nextEvent(flights, options.timeoutMs), signal: options.signal },
				);
				for (const flight of flights) {
					const answer = answerTo(flight, options.timeoutMs);
					if (answer === undefined) continue;
					flights.delete(flight);
					flight.socket[Symbol.dispose]();
					settle(flight.index, answer);
				}
			}
		} finally {
			for (const { socket } of flights) socket[Symbol.dispose]();
		}
		return probes.map((_, index) => answers.get(index) ?? { kind: "none" });
	}

	[Symbol.dispose](): void {}
}

function launch(index: number, probe: Probe | undefined): Flight | Answer {
	if (probe === undefined || probe.target.protocol === "tcp") return { kind: "unsent", errno: ERRNO.EPERM };
	const { target, ecn = false, ttl = DEFAULTS.ttl } = probe;
	const { real, protocol, port = 0 } = target;
	let socket: DatagramSocket | undefined;
	try {
		socket = new DatagramSocket(
			probe.target.protocol,
			real.bytes,
			tosOfDscp(target.dscp) | (ecn ? DEFAULTS.ect0 : 0),
			ttl,
		);
		const payload = probe.data ?? probeData(port);
		// The kernel fills in its own identifier and checksum.
		const data =
			protocol === "icmp" ? echoRequestMessage(real.family, { id: 0, sequence: 1, data: payload }) : payload;
		const sent = socket.send(data, real.bytes, port);
		if (sent === 0) return { index, target, socket, data, sentAt: performance.now(), resent: false };
		socket[Symbol.dispose]();
		return { kind: "unsent", errno: -sent };
	} catch (error) {
		socket?.[Symbol.dispose]();
		if (error instanceof SyscallError) return { kind: "unsent", errno: error.errno };
		throw error;
	}
}

/** Milliseconds until a probe is sent again or given up. */
function nextEvent(flights: ReadonlySet<Flight>, timeoutMs: number): number {
	const now = performance.now();
	const due = [...flights].map(({ sentAt, resent }) => sentAt + (resent ? timeoutMs : timeoutMs / 2) - now);
	return Math.max(0, Math.min(...due));
}

/** Undefined while an answer may still arrive; halfway, sends the probe again in case it was lost. */
function answerTo(flight: Flight, timeoutMs: number): Answer | undefined {
	const age = performance.now() - flight.sentAt;
	const event = flight.socket.take();
	if (event !== undefined) return answerIn(event, age);
	if (age >= timeoutMs) return { kind: "none" };
	if (age >= timeoutMs / 2 && !flight.resent) {
		flight.resent = true;
		flight.socket.send(flight.data, flight.target.real.bytes, flight.target.port ?? 0);
	}
	return undefined;
}

function answerIn(event: DatagramEvent, afterMs: number): Answer {
	const from = addressFromBytes(event.from);
	if (event.kind === "datagram") return { kind: "accepted", from, afterMs, dscp: dscpOfTos(event.tos) };
	const { type, code } = event;
	return isPortUnreachable(from.family, type, code)
		? { kind: "refused", from, afterMs }
		: { kind: "icmp", from, afterMs, type, code, about: addressFromBytes(event.about) };
}
