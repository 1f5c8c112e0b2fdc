/** Probes many targets, each several times, with first packets or whole connections. */
import type { ProbeTarget } from "../model/probe-target.ts";
import { type Answer, judgeAnswer } from "./answer.ts";
import { type Connection, connect } from "./connector.ts";
import type { Conversation } from "./conversation.ts";
import { type Connected, SMALL_SEGMENT_BYTES } from "./explain-connection.ts";
import type { Asker, Probe } from "./prober.ts";

export interface AskTargetsOptions {
	readonly timeoutMs: number;
	/** How often each target is probed. */
	readonly count: number;
	readonly ecn: boolean;
	/** TCP: continue after the handshake. */
	readonly connect: boolean;
	/** Sent after the handshake, or as a datagram. */
	readonly data?: Uint8Array;
	readonly signal: AbortSignal;
	/** `good`: the VIP answered, and the connection (if any) worked. */
	readonly onAnswer: (good: boolean) => void;
}

/** The probes of one target and their answers. */
export interface Asked {
	readonly target: ProbeTarget;
	/** Fewer than `count` if the signal stopped it. */
	readonly answers: readonly Answer[];
	/** The first connection that failed, else the first one; absent if the VIP answered no SYN. */
	readonly connected?: Connected;
	/** The number of connections that failed. */
	readonly broken: number;
}

/** In the order of the targets. If the signal aborts, returns what has arrived. */
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

/** Connections at the same time; each has its own sockets. */
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

/** If an answer is missing or incomplete: connects again, and asks the server for small segments. */
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
