/**
 * Connects along a VIP's path, in the roles of both director and client, with its own packets. The local kernel takes
 * no part: the connection uses a port on which the kernel stays silent (`SilentPort`), so it sends no reset for a
 * SYN+ACK that it did not expect.
 */
import { randomBytes } from "node:crypto";
import { IpSocket, SilentPort, SyscallError, sourceAddressFor, untilReadable } from "@l3dsr/linux";
import { addressFromBytes, tosOfDscp } from "@l3dsr/packet";
import type { ProbeTarget } from "../model/probe-target.ts";
import { type Answer, judgeAnswer } from "./answer.ts";
import { type Conversation, TcpConversation } from "./conversation.ts";
import { decodePacket, type Envelope, type IncomingPacket, type Ports } from "./packet.ts";
import { answerIn, DEFAULTS } from "./prober.ts";

export interface ConnectOptions {
	/** For the answer to the SYN, and again for everything after it. */
	readonly timeoutMs: number;
	readonly ecn?: boolean;
	/** Sent after the handshake; then waits for an answer. */
	readonly request?: Uint8Array;
	/** See ConversationSpec. */
	readonly segmentBytes?: number;
	readonly signal?: AbortSignal;
}

export interface Connection {
	/** The answer to the SYN. */
	readonly answer: Answer;
	/** Set if the VIP answered. */
	readonly conversation?: Conversation;
}

/** How often unacknowledged data is sent within the time. */
const ATTEMPTS = 4;

/** Connects to a real server's TCP service. Throws SyscallError (EPERM) without CAP_NET_RAW. */
export async function connect(target: ProbeTarget, options: ConnectOptions): Promise<Connection> {
	const tos = tosOfDscp(target.dscp) | (options.ecn === true ? DEFAULTS.ect0 : 0);
	let source: Uint8Array;
	try {
		source = sourceAddressFor(target.real.bytes, tos);
	} catch (error) {
		if (!(error instanceof SyscallError)) throw error;
		return { answer: { kind: "unsent", errno: error.errno } };
	}
	using port = new SilentPort("tcp", source);
	using socket = new IpSocket({ tcpPort: port.port });
	const envelope: Envelope = {
		source: addressFromBytes(source),
		destination: target.real,
		tos,
		ttl: DEFAULTS.ttl,
	};
	const ports: Ports = { sourcePort: port.port, destinationPort: target.port ?? 0 };
	const { request, segmentBytes } = options;
	const conversation = new TcpConversation({
		envelope,
		ports,
		sequence: randomBytes(4).readUInt32BE(),
		...(request === undefined ? {} : { request }),
		...(segmentBytes === undefined ? {} : { segmentBytes }),
	});
	return await new Connecting(socket, target, envelope, ports, conversation, options).run();
}

class Connecting {
	readonly #socket: IpSocket;
	readonly #target: ProbeTarget;
	readonly #envelope: Envelope;
	readonly #ports: Ports;
	readonly #conversation: TcpConversation;
	readonly #options: ConnectOptions;

	constructor(
		socket: IpSocket,
		target: ProbeTarget,
		envelope: Envelope,
		ports: Ports,
		conversation: TcpConversation,
		options: ConnectOptions,
	) {
		this.#socket = socket;
		this.#target = target;
		this.#envelope = envelope;
		this.#ports = ports;
		this.#conversation = conversation;
		this.#options = options;
	}

	async run(): Promise<Connection> {
		const answer = await this.#open();
		if (answer.kind !== "accepted" || judgeAnswer(this.#target, answer) !== "vip") {
			if (answer.kind === "accepted") this.#send(this.#conversation.reset());
			return { answer };
		}
		await this.#while(
			() => !this.#conversation.over,
			(packet) => this.#take(packet),
		);
		this.#send(this.#conversation.reset());
		return { answer, conversation: this.#conversation.outcome() };
	}

	/** Sends the SYN again until an answer arrives. */
	async #open(): Promise<Answer> {
		const sentAt = performance.now();
		const failed = this.#send(this.#conversation.syn());
		if (failed < 0) return { kind: "unsent", errno: -failed };
		let answer: Answer | undefined;
		await this.#while(
			() => answer === undefined,
			(packet) => {
				const found = answerIn(packet, performance.now() - sentAt);
				const goesOn = found.kind === "accepted" && judgeAnswer(this.#target, found) === "vip";
				if (goesOn) this.#take(packet);
				// Only a SYN+ACK begins a connection.
				if (!goesOn || this.#conversation.begun) answer ??= found;
			},
		);
		return answer ?? { kind: "none" };
	}

	#take(packet: IncomingPacket): void {
		const { content } = packet;
		if (content.kind !== "tcp") return;
		for (const segment of this.#conversation.take({ ...packet, content })) this.#send(segment);
	}

	async #while(waiting: () => boolean, take: (packet: IncomingPacket) => void): Promise<void> {
		const { timeoutMs, signal } = this.#options;
		const until = performance.now() + timeoutMs;
		const every = timeoutMs / ATTEMPTS;
		let next = performance.now() + every;
		while (waiting()) {
			signal?.throwIfAborted();
			const now = performance.now();
			if (now >= until) return;
			if (now >= next) {
				for (const segment of this.#conversation.again()) this.#send(segment);
				next += every;
			}
			await untilReadable(this.#socket.fds, { timeoutMs: Math.max(0, Math.min(next, until) - now), signal });
			for (const bytes of this.#socket.receive()) {
				const packet = decodePacket(bytes);
				if (packet !== undefined && this.#isOurs(packet)) take(packet);
			}
		}
	}

	#isOurs({ destination, content }: IncomingPacket): boolean {
		if (destination.text !== this.#envelope.source.text) return false;
		if (content.kind === "tcp") return content.destinationPort === this.#ports.sourcePort;
		if (content.kind !== "icmp-error") return false;
		const { what } = content.quoted;
		return what.kind === "tcp" && what.sourcePort === this.#ports.sourcePort;
	}

	#send(packet: Uint8Array): number {
		return this.#socket.send(packet, this.#target.real.bytes);
	}
}
