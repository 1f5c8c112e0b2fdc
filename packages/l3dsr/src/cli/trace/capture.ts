/** A capture packet by packet, a line each, and what there is to say about the whole. */

import { addressFromBytes, dscpOfTos } from "@l3dsr/packet";
import { L3dsrError } from "../../errors.ts";
import { protocolName } from "../../syntax/iptables/names.ts";
import { formatRuleSpec } from "../../syntax/iptables/rule-format.ts";
import { type CliContext, writeJson } from "../context.ts";
import { type Style, styleFor } from "../style.ts";
import { formatTable } from "../table.ts";
import type { OtherFrame, TraceInput } from "./input.ts";
import { checksumRecords, packetRecord, type TracedAll, traceAll } from "./record.ts";
import type { PacketMeta, Situation } from "./situation.ts";
import { NOT_EXACT, packetText, RUNS } from "./text.ts";
import type { KernelRecord, Traced } from "./traced.ts";

/** What a copy of what runs on one engine makes of the packets that come there. */
export interface EngineSummary {
	readonly datapath: "ebpf" | "nft";
	/** Packets that it made the same of as the oracle. */
	readonly same: number;
	readonly different: number;
	readonly notAsked: number;
	/** Why not, the commonest first. */
	readonly reasons: readonly { readonly why: string; readonly packets: number }[];
	/** The copy has the instructions of what runs. */
	readonly exact: boolean;
	/** What it counted is not what the oracle counted. */
	readonly countersDiffer: boolean;
}

export interface CaptureSummary {
	readonly packets: number;
	readonly rewritten: number;
	readonly unchanged: number;
	/** Frames that hold no IP packet, and packets that the stack would not take. */
	readonly notIp: number;
	readonly unreadable: number;
	/** Rewritten, with the transport header out of reach. */
	readonly malformed: number;
	/** Packets whose transport checksum was left to the interface, and is taken as that completes it. */
	readonly checksumsCompleted: number;
	readonly badChecksums: { readonly before: number; readonly after: number; readonly new: number };
	readonly rules: readonly {
		readonly datapath: string;
		readonly rule: string;
		readonly packets: number;
		readonly bytes: number;
	}[];
	/** What the kernel was asked, by engine; none where a configuration was. */
	readonly kernel: readonly EngineSummary[];
	readonly notes: readonly string[];
}

export interface Outcome {
	/** False when the kernel disagrees with the oracle. */
	readonly agreed: boolean;
	readonly results: TracedAll["results"];
}

/** Prints as it goes. */
export async function traceCapture(
	context: CliContext,
	input: TraceInput,
	situation: Situation,
	meta: PacketMeta,
	options: { readonly json?: boolean; readonly verbose?: boolean },
): Promise<Outcome> {
	const { stdout, env } = context;
	const style = styleFor(stdout, env);
	const all = await traceAll(input.packets, situation, meta);
	const { results } = all;
	// Written in pieces: a capture's text can be larger than what one write should hold.
	let text = "";
	const print = (more: string): void => {
		text += more;
		if (text.length < 1 << 16) return;
		stdout.write(text);
		text = "";
	};
	results.forEach((result, index) => {
		if (context.outputClosed.aborted) return;
		const number = index + 1;
		if ("notIp" in result) {
			print(
				options.json === true
					? `${JSON.stringify({ number, notIp: result.notIp })}\n`
					: line(number, result, style),
			);
		} else if (options.json === true) {
			print(`${JSON.stringify(packetRecord(result, number))}\n`);
		} else if (options.verbose === true) {
			print(`${number}. ${packetText(packetRecord(result, number), style, situation.source)}\n`);
		} else print(line(number, result, style));
	});
	stdout.write(text);
	const summary = summarize(all, situation, [...situation.notes, ...input.notes]);
	if (options.json === true) writeJson(stdout, { summary }, { lines: true });
	else stdout.write(summaryText(summary, style));
	return { agreed: summary.kernel.every(agrees), results };
}

/** `12  203.0.113.9 → 10.0.0.5 tcp dscp 7: now for 192.0.2.10`. */
function line(number: number, result: Traced | OtherFrame, style: Style): string {
	if ("notIp" in result) return style.dim(`${number}  no IP packet (${result.notIp})\n`);
	const { journey, kernel } = result;
	const { packet } = journey;
	if (packet === undefined) return style.dim(`${number}  ${journey.unreadable}: left as it is\n`);
	const protocol = packet.protocol === undefined ? "protocol unknown" : protocolName(packet.protocol);
	const head = `${number}  ${addressFromBytes(packet.source).text} → ${addressFromBytes(packet.destination).text} ${protocol} dscp ${dscpOfTos(packet.tos)}`;
	const what = journey.rewritten ? `now for ${journey.destination?.text}` : "no rule matches";
	const different = kernel.find(({ answer }) => answer === "different");
	const text = `${head}: ${what}${journey.malformed === undefined ? "" : ` (${journey.malformed})`}`;
	if (different === undefined) return `${text}\n`;
	return `${style.bad(`${text}; ${RUNS[different.datapath].short} ANOTHER packet of it`)}\n`;
}

function summarize(
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
		engineSummary("ebpf", onProgram, programCountersDiffer, situation.programReplica?.exact),
		engineSummary(
			"nft",
			answers.filter(({ datapath }) => datapath === "nft"),
			nftCountersDiffer,
			exactRules(situation),
		),
	].filter((engine) => engine !== undefined);
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

/** Undefined where an engine runs nothing; `exact` undefined where no copy could be made. */
function engineSummary(
	datapath: EngineSummary["datapath"],
	records: readonly KernelRecord[],
	countersDiffer: boolean,
	exact: boolean | undefined,
): EngineSummary | undefined {
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
	return rulesReplica instanceof L3dsrError ? undefined : rulesReplica?.exact;
}

function agrees({ different, exact, countersDiffer }: EngineSummary): boolean {
	return different === 0 && exact && !countersDiffer;
}

/** A few kinds of packets are known to come out otherwise. */
const NFT_LIMITS =
	"docs/reference/nft-limits.md lists the packets that nft cannot treat as the reference does";

function engineText(engine: EngineSummary, style: Style): string[] {
	const { datapath, same, different, notAsked, reasons, exact, countersDiffer } = engine;
	const { name } = RUNS[datapath];
	const text = `${name}: a copy of ${datapath === "ebpf" ? "it" : "them"} makes the same of ${same} packets, another of ${different}`;
	const why = reasons.map(({ why, packets }) => `${packets}: ${why}`).join("; ");
	const whole = notAsked === 0 ? text : `${text}; ${notAsked} could not be asked (${why})`;
	return [
		different > 0 ? style.bad(whole) : whole,
		...(different > 0 && datapath === "nft" ? [NFT_LIMITS] : []),
		...(exact ? [] : [style.bad(`${name}: ${NOT_EXACT[datapath]}`)]),
		...(countersDiffer ? [style.bad(`${name}: the copy COUNTED other packets than the rules match`)] : []),
	];
}

function summaryText(summary: CaptureSummary, style: Style): string {
	const { packets, rewritten, unchanged, notIp, unreadable, malformed, badChecksums, kernel } = summary;
	const counts = [
		`${rewritten} rewritten`,
		`${unchanged} that no rule matches`,
		...(notIp > 0 ? [`${notIp} without an IP packet`] : []),
		...(unreadable > 0 ? [`${unreadable} that the stack would not take`] : []),
	];
	const lines = [`${packets} packets: ${counts.join(", ")}`];
	if (malformed > 0) lines.push(`${malformed} rewritten with the transport header out of reach`);
	const sums = `bad checksums: ${badChecksums.before} before, ${badChecksums.after} after, ${badChecksums.new} that were good before`;
	if (summary.checksumsCompleted > 0) {
		lines.push(`checksums left to the interface: ${summary.checksumsCompleted}, taken as it completes them`);
	}
	lines.push(badChecksums.new > 0 ? style.bad(sums) : sums);
	for (const engine of kernel) lines.push(...engineText(engine, style));
	for (const note of summary.notes) lines.push(`${style.bad("note:")} ${note}`);
	const table =
		summary.rules.length === 0
			? "no rule is in place\n"
			: formatTable(
					["datapath", "packets", "bytes", "rule"],
					summary.rules.map((row) => [row.datapath, String(row.packets), String(row.bytes), row.rule]),
					{ header: style.dim, right: [1, 2] },
				);
	return `\n${table}${lines.map((text) => `${text}\n`).join("")}`;
}
