/** Asks many targets, each some times: by their first packet, or by whole connections. */
import type { ProbeTarget } from "../model/probe-target.ts";
import { type Answer, judgeAnswer } from "./answer.ts";
import { type Connection, connect } from "./connector.ts";
import type { Conversation } from "./conversation.ts";
import { type Connected, SMALL_SEGMENT_BYTES } from "./explain-connection.ts";
import type { Asker, Probe } from "./prober.ts";

export interface AskTargetsOptions {
	readonly timeoutMs: number;
	/** To each target. */
	readonly count: number;
	readonly ecn: boolean;
	/** TCP: go on behind the handshake. */
	readonly connect: boolean;
	/** What is sent then, or as a datagram. */
	readonly data?: Uint8Array;
	readonly signal: AbortSignal;
	/** `good`: the VIP answered, and the connection went on. */
	readonly onAnswer: (good: boolean) => void;
}

/** What a target was asked, and what came. */
export interface Asked {
	readonly target: ProbeTarget;
	/** Fewer than `count` where the signal has stopped it. */
	readonly answers: readonly Answer[];
	/** The first connection that did not go on, or the first of all; absent where the VIP answered no SYN. */
	readonly connected?: Connected;
	/** Connections that did not go on. */
	readonly broken: number;
}

/** In the order of the targets. When the signal aborts, what has come by then. */
export async function askTargets(
	prober: Asker,
	targets: readonly ProbeTarget[],
	options: AskTargetsOptions,
): Promise<Asked[]> {
	const connects = (target: ProbeTarget) => options.connect && target.protocol === "tcp";
	const byPacket = targets.filter((target) => !connects(target));
	const byConnection = targets.filter(connects);
	const asked = new Map<ProbeTarget, Asked>();
	try {
		for (const one of await askByPacket(prober, byPacket, options)) asked.set(one.target, one);
		await connectAll(byConnection, options, (one) => asked.set(one.target, one));
	} catch (error) {
		if (!options.signal.aborted) throw error;
	}
	return targets.map((target) => asked.get(target) ?? { target, answers: [], broken: 0 });
}

async function askByPacket(
	prober: Asker,
	targets: readonly ProbeTarget[],
	{ count, ecn, data, timeoutMs, signal, onAnswer }: AskTargetsOptions,
): Promise<Asked[]> {
	const probes = targets.flatMap((target) =>
		Array.from({ length: count }, (): Probe => ({ target, ecn, ...(data === undefined ? {} : { data }) })),
	);
	const answers = new Map<number, Answer>();
	try {
		await prober.ask(probes, {
			timeoutMs,
			signal,
			onAnswer: (index, answer) => {
				answers.set(index, answer);
				const target = probes[index]?.target;
				onAnswer(target !== undefined && judgeAnswer(target, answer) === "vip");
			},
		});
	} catch (error) {
		if (!signal.aborted) throw error;
	}
	return targets.map((target, at) => ({
		target,
		answers: Array.from({ length: count }, (_, nth) => answers.get(at * count + nth)).filter(
			(answer) => answer !== undefined,
		),
		broken: 0,
	}));
}

/** Connections at a time: each has sockets of its own. */
const AT_A_TIME = 32;

async function connectAll(
	targets: readonly ProbeTarget[],
	options: AskTargetsOptions,
	onAsked: (asked: Asked) => void,
): Promise<void> {
	const queue = targets.values();
	const work = async (): Promise<void> => {
		for (const target of queue) {
			options.signal.throwIfAborted();
			onAsked(await connectTarget(target, options));
		}
	};
	await Promise.all(Array.from({ length: Math.min(AT_A_TIME, targets.length) }, work));
}

async function connectTarget(target: ProbeTarget, options: AskTargetsOptions): Promise<Asked> {
	const connections: Connection[] = [];
	for (let nth = 0; nth < options.count; nth++) {
		const connection = await connectOnce(target, options);
		connections.push(connection);
		options.onAnswer(connection.conversation?.kind === "complete");
	}
	const answers = connections.map(({ answer }) => answer);
	const conversations = connections.flatMap(({ conversation }) => conversation ?? []);
	const bad = conversations.filter(({ kind }) => kind !== "complete");
	const conversation = bad[0] ?? conversations[0];
	if (conversation === undefined) return { target, answers, broken: 0 };
	const small = await withSmallSegments(target, conversation, options);
	const connected: Connected = small === undefined ? { conversation } : { conversation, small };
	return { target, answers, connected, broken: bad.length };
}

/** Where an answer does not come, or not whole: the same, and the server is told to send small segments. */
async function withSmallSegments(
	target: ProbeTarget,
	conversation: Conversation,
	options: AskTargetsOptions,
): Promise<Conversation | undefined> {
	const lost = conversation.kind === "gap" || (conversation.kind === "unanswered" && !conversation.closed);
	if (!lost) return undefined;
	const segmentBytes = SMALL_SEGMENT_BYTES[target.real.family];
	return (await connectOnce(target, options, segmentBytes)).conversation;
}

async function connectOnce(
	target: ProbeTarget,
	{ timeoutMs, ecn, data, signal }: AskTargetsOptions,
	segmentBytes?: number,
): Promise<Connection> {
	return await connect(target, {
		timeoutMs,
		ecn,
		signal,
		...(data === undefined ? {} : { request: data }),
		...(segmentBytes === undefined ? {} : { segmentBytes }),
	});
}
