/** Sends packets through a copy of the rules that run on nft, and compares the result with the oracle. */

import type { Rule } from "../../model/rule.ts";
import { isReplicaFailure, type RulesReplica } from "../../rewrite/nft/kernel/replica.ts";
import { LARGEST_LOGGED, type Passage } from "../../rewrite/nft/kernel/replica-network.ts";
import { type Journey, travel } from "./journey.ts";
import { samePacket } from "./same-packet.ts";
import type { Situation } from "./situation.ts";
import type { KernelRecord, Traced } from "./traced.ts";

export interface NftAnswers {
	/** About the packets that reach rules on nft. */
	readonly records: ReadonlyMap<Traced, KernelRecord>;
	/** The copy counted something else than the oracle. */
	readonly countersDiffer: boolean;
}

/** What happens to a packet on nft. */
interface Question {
	readonly traced: Traced;
	/** The packet as it arrives there. */
	readonly before: Uint8Array;
	/** Computed by the oracle, for the nft rules alone. */
	readonly journey: Journey;
	/** It differs from the packet that the oracle expects here. */
	readonly diverted: boolean;
}

/** Throws L3dsrError (PROGRAM_FAILED). */
export async function askNft(packets: readonly Traced[], situation: Situation): Promise<NftAnswers> {
	const { rulesReplica } = situation;
	const questions = packets.flatMap((traced) => questionOf(traced, situation) ?? []);
	if (rulesReplica === undefined || questions.length === 0)
		return { records: new Map(), countersDiffer: false };
	const mute = (exact: boolean, why: string): NftAnswers => ({
		records: new Map(
			questions.map((one) => [one.traced, { ...recordOf(one, exact), answer: "not asked", why }]),
		),
		countersDiffer: false,
	});
	if (rulesReplica instanceof Error) return mute(true, rulesReplica.message);
	const { exact } = rulesReplica;
	try {
		const passages = rulesReplica.run(
			questions.map(({ traced: { context }, before }) => ({
				bytes: before,
				...(context.sourceMac === undefined ? {} : { sourceMac: context.sourceMac }),
			})),
		);
		const answered = questions.map((question, index) => ({ question, passage: passages[index] ?? {} }));
		const differ = await countersDiffer(rulesReplica, answered);
		const records = answered.map(({ question, passage }): [Traced, KernelRecord] => {
			const answer = judge(question.journey, passage);
			// With a single packet, the counters tell which rules matched.
			const others = differ && questions.length === 1 && answer.answer === "same";
			const judged = others
				? { answer: "different" as const, why: "different rules count it there" }
				: answer;
			return [question.traced, { ...recordOf(question, exact), ...bytesOf(question), ...judged }];
		});
		return { records: new Map(records), countersDiffer: differ };
	} catch (error) {
		if (!isReplicaFailure(error)) throw error;
		return mute(exact, error.message);
	}
}

/** Undefined for a packet that does not reach rules on nft. */
function questionOf(traced: Traced, { stops }: Situation): Question | undefined {
	const { journey, kernel, context } = traced;
	const onNft = journey.stops.filter(({ stop }) => stop.datapath === "nft");
	const [first] = onNft;
	if (first === undefined) return undefined;
	const made = kernel.find(({ answer }) => answer === "different")?.bytes;
	if (made === undefined) {
		return {
			traced,
			before: first.before,
			journey: { ...journey, before: first.before, stops: onNft },
			diverted: false,
		};
	}
	// If the program before it behaves differently, nft sees that program's result.
	const before = Uint8Array.from(Buffer.from(made, "hex"));
	const rules = stops.filter(({ datapath }) => datapath === "nft");
	return { traced, before, journey: travel(before, rules, context), diverted: true };
}

/** nft may agree about a packet that already differs. */
function bytesOf({ journey, diverted }: Question): Pick<KernelRecord, "bytes"> {
	return diverted ? { bytes: Buffer.from(journey.after).toString("hex") } : {};
}

function recordOf({ journey }: Question, exact: boolean): Pick<KernelRecord, "datapath" | "place" | "exact"> {
	return { datapath: "nft", place: journey.stops.map(({ stop }) => stop.place).join(", "), exact };
}

function judge(journey: Journey, passage: Passage): Pick<KernelRecord, "answer" | "why" | "bytes"> {
	const { packet, stops, before, after, local } = journey;
	const notAsked = (why: string) => ({ answer: "not asked", why }) as const;
	const different = (bytes: Uint8Array) =>
		({ answer: "different", bytes: Buffer.from(bytes).toString("hex") }) as const;
	if (packet === undefined) return notAsked("the stack would drop it");
	const { length } = packet;
	if (length > LARGEST_LOGGED) return notAsked("it is too large");
	// Bytes after the packet in its frame are not part of it: the stack cuts them off.
	const alike = (a: Uint8Array, b: Uint8Array) => samePacket(a.subarray(0, length), b.subarray(0, length));
	if (passage.arrived === undefined) return notAsked("the stack drops it before nft");
	const atEntrance = stops.findLast(({ stop }) => stop.when === "arriving")?.after ?? before;
	if (!alike(passage.arrived, atEntrance)) return different(passage.arrived);
	if (!stops.some(({ stop }) => stop.when !== "arriving")) return { answer: "same" };
	if (passage.left === undefined) {
		const fragment = packet.family === "ipv4" && local && isFragment(before);
		return notAsked(fragment ? "INPUT sees only whole datagrams" : "the stack drops it after PREROUTING");
	}
	if ((passage.left.way === "local") !== local) {
		return { ...different(passage.left.bytes), why: `it goes the way of what is ${passage.left.way}` };
	}
	return alike(passage.left.bytes, after) ? { answer: "same" } : different(passage.left.bytes);
}

function isFragment(bytes: Uint8Array): boolean {
	return ((((bytes[6] ?? 0) << 8) | (bytes[7] ?? 0)) & 0x3fff) !== 0;
}

/** For packets that the stack dropped on the way, only the chains that they reached count. */
async function countersDiffer(
	replica: RulesReplica,
	answered: readonly { readonly question: Question; readonly passage: Passage }[],
): Promise<boolean> {
	const expected = new Map<Rule, { packets: bigint; bytes: bigint }>();
	for (const { question, passage } of answered) {
		const { stops, packet } = question.journey;
		for (const { stop, matched } of stops) {
			const met = stop.when === "arriving" ? passage.arrived : passage.left;
			if (met === undefined) continue;
			for (const index of matched) {
				const rule = stop.rules[index];
				if (rule === undefined) continue;
				const sum = expected.get(rule) ?? { packets: 0n, bytes: 0n };
				expected.set(rule, { packets: sum.packets + 1n, bytes: sum.bytes + BigInt(packet?.length ?? 0) });
			}
		}
	}
	return (await replica.counted()).some(({ rule, counters }) => {
		const { packets, bytes } = expected.get(rule) ?? { packets: 0n, bytes: 0n };
		return counters.packets !== packets || counters.bytes !== bytes;
	});
}
