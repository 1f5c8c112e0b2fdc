/** The summary of a capture. Pure, except for reading the copies' counters. */
import { formatRuleSpec } from "../../syntax/iptables/rule-format.ts";
import { checksumRecords } from "./record.ts";
import type { Situation } from "./situation.ts";
import type { TracedAll } from "./trace-all.ts";
import type { KernelRecord } from "./traced.ts";

/** What the copy of one datapath does with the packets that reach it. */
export interface DatapathSummary {
	readonly datapath: "ebpf" | "nft";
	/** Packets for which it agrees with the oracle. */
	readonly same: number;
	readonly different: number;
	readonly notAsked: number;
	/** Why not, the most frequent reason first. */
	readonly reasons: readonly { readonly why: string; readonly packets: number }[];
	/** The copy has the instructions of what runs. */
	readonly exact: boolean;
	/** It counted something else than the oracle. */
	readonly countersDiffer: boolean;
}

export interface CaptureSummary {
	readonly packets: number;
	readonly rewritten: number;
	readonly unchanged: number;
	/** Frames that hold no IP packet, and packets that the stack would drop. */
	readonly notIp: number;
	readonly unreadable: number;
	/** Rewritten, although the transport header could not be found. */
	readonly malformed: number;
	/** Packets whose transport checksum was left to the interface; the trace uses the completed one. */
	readonly checksumsCompleted: number;
	readonly badChecksums: { readonly before: number; readonly after: number; readonly new: number };
	readonly rules: readonly {
		readonly datapath: string;
		readonly rule: string;
		readonly packets: number;
		readonly bytes: number;
	}[];
	/** The kernel's results, by datapath; none for a configuration. */
	readonly kernel: readonly DatapathSummary[];
	readonly notes: readonly string[];
}

/** `notes` are about the whole capture. */
export function summarize(
	{ results, nftCountersDiffer }: TracedAll,
	situation: Situation,
	notes: readonly string[],
): CaptureSummary {
	const rules = situation.stops.flatMap((stop) =>
		stop.rules.map((rule) => ({
			stop,
			datapath: stop.datapath,
			rule: `-A ${rule.chain} ${formatRuleSpec(rule)}`,
			packets: 0,
			bytes: 0,
		})),
	);
	const rowAt = new Map(situation.stops.map((stop) => [stop, rules.findIndex((row) => row.stop === stop)]));
	const sum = {
		rewritten: 0,
		notIp: 0,
		unreadable: 0,
		malformed: 0,
		completed: 0,
		before: 0,
		after: 0,
		new: 0,
	};
	const answers: KernelRecord[] = [];
	for (const result of results) {
		if ("notIp" in result) {
			sum.notIp++;
			continue;
		}
		const { journey } = result;
		if (journey.packet === undefined) {
			sum.unreadable++;
			continue;
		}
		if (journey.rewritten) sum.rewritten++;
		if (journey.malformed !== undefined) sum.malformed++;
		if (result.input.checksumCompleted) sum.completed++;
		const checksums = checksumRecords(result, journey.packet);
		const bad = (when: "before" | "after") => checksums.some((one) => one[when].verdict === "bad");
		if (bad("before")) sum.before++;
		if (bad("after")) sum.after++;
		if (checksums.some(({ before, after }) => before.verdict === "good" && after.verdict === "bad"))
			sum.new++;
		for (const { stop, matched } of journey.stops) {
			for (const index of matched) {
				const row = rules[(rowAt.get(stop) ?? 0) + index];
				if (row === undefined) continue;
				row.packets++;
				row.bytes += journey.packet.length;
			}
		}
		answers.push(...result.kernel);
	}
	const onProgram = answers.filter(({ datapath }) => datapath === "ebpf");
	const expected = rules.filter(({ datapath }) => datapath === "ebpf");
	const programCountersDiffer =
		onProgram.every(({ answer }) => answer !== "not asked") &&
		(situation.programReplica?.counted() ?? []).some(
			({ packets, bytes }, index) =>
				packets !== BigInt(expected[index]?.packets ?? 0) || bytes !== BigInt(expected[index]?.bytes ?? 0),
		);
	const kernel = [
		datapathSummary("ebpf", onProgram, programCountersDiffer, situation.programReplica?.exact),
		datapathSummary(
			"nft",
			answers.filter(({ datapath }) => datapath === "nft"),
			nftCountersDiffer,
			exactRules(situation),
		),
	].filter((one) => one !== undefined);
	const rest = sum.rewritten + sum.notIp + sum.unreadable;
	return {
		packets: results.length,
		rewritten: sum.rewritten,
		unchanged: results.length - rest,
		notIp: sum.notIp,
		unreadable: sum.unreadable,
		malformed: sum.malformed,
		checksumsCompleted: sum.completed,
		badChecksums: { before: sum.before, after: sum.after, new: sum.new },
		rules: rules.map(({ datapath, rule, packets, bytes }) => ({ datapath, rule, packets, bytes })),
		kernel,
		notes,
	};
}

/** Undefined if a datapath runs nothing; `exact` is undefined if no copy could be made. */
function datapathSummary(
	datapath: DatapathSummary["datapath"],
	records: readonly KernelRecord[],
	countersDiffer: boolean,
	exact: boolean | undefined,
): DatapathSummary | undefined {
	if (records.length === 0 && exact === undefined) return undefined;
	const reasons = new Map<string, number>();
	for (const { answer, why } of records) {
		if (answer === "not asked" && why !== undefined) reasons.set(why, (reasons.get(why) ?? 0) + 1);
	}
	const count = (answer: KernelRecord["answer"]) => records.filter((one) => one.answer === answer).length;
	return {
		datapath,
		same: count("same"),
		different: count("different"),
		notAsked: count("not asked"),
		reasons: [...reasons].map(([why, packets]) => ({ why, packets })).sort((a, b) => b.packets - a.packets),
		exact: exact ?? true,
		countersDiffer,
	};
}

function exactRules({ rulesReplica }: Situation): boolean | undefined {
	return rulesReplica instanceof Error ? undefined : rulesReplica?.exact;
}

/** The kernel agreed about every packet that it was asked about. */
export function agrees({ different, exact, countersDiffer }: DatapathSummary): boolean {
	return different === 0 && exact && !countersDiffer;
}
