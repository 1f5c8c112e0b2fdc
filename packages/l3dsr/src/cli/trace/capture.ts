/** A capture packet by packet, one line each, and a summary. */

import { addressFromBytes, dscpOfTos } from "@l3dsr/packet";
import {
	agrees,
	type CaptureSummary,
	type DatapathSummary,
	summarize,
} from "../../inspect/trace/capture-summary.ts";
import type { OtherFrame } from "../../inspect/trace/input-packet.ts";
import { packetRecord } from "../../inspect/trace/record.ts";
import type { PacketMeta, Situation } from "../../inspect/trace/situation.ts";
import { type TracedAll, traceAll } from "../../inspect/trace/trace-all.ts";
import type { Traced } from "../../inspect/trace/traced.ts";
import { jsonText } from "../../json.ts";
import { protocolName } from "../../syntax/iptables/names.ts";
import { type CliContext, writeJson } from "../context.ts";
import { type Style, styleFor } from "../style.ts";
import { formatTable } from "../table.ts";
import type { TraceInput } from "./input.ts";
import { NOT_EXACT, packetText, RUNS } from "./text.ts";

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
	// Written in pieces: a capture's text can be too large for one write.
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
					? `${jsonText("trace", { number, notIp: result.notIp })}\n`
					: line(number, result, style),
			);
		} else if (options.json === true) {
			print(`${jsonText("trace", packetRecord(result, number))}\n`);
		} else if (options.verbose === true) {
			print(`${number}. ${packetText(packetRecord(result, number), style, situation.source)}\n`);
		} else print(line(number, result, style));
	});
	stdout.write(text);
	const summary = summarize(all, situation, [...situation.notes, ...input.notes]);
	if (options.json === true) writeJson(stdout, "trace-summary", { summary }, { lines: true });
	else stdout.write(summaryText(summary, style));
	return { agreed: summary.kernel.every(agrees), results };
}

/** `12 203.0.113.9 → 10.0.0.5 tcp dscp 7: rewritten to 192.0.2.10`. */
function line(number: number, result: Traced | OtherFrame, style: Style): string {
	if ("notIp" in result) return style.dim(`${number}  no IP packet (${result.notIp})\n`);
	const { journey, kernel } = result;
	const { packet } = journey;
	if (packet === undefined) return style.dim(`${number}  ${journey.unreadable}: left as it is\n`);
	const protocol = packet.protocol === undefined ? "protocol unknown" : protocolName(packet.protocol);
	const head = `${number}  ${addressFromBytes(packet.source).text} → ${addressFromBytes(packet.destination).text} ${protocol} dscp ${dscpOfTos(packet.tos)}`;
	const what = journey.rewritten ? `rewritten to ${journey.destination?.text}` : "no rule matches";
	const different = kernel.find(({ answer }) => answer === "different");
	const text = `${head}: ${what}${journey.malformed === undefined ? "" : ` (${journey.malformed})`}`;
	if (different === undefined) return `${text}\n`;
	return `${style.bad(`${text}; ${RUNS[different.datapath].short} ANOTHER packet of it`)}\n`;
}

/** A few kinds of packets are known to differ. */
const NFT_LIMITS = "docs/reference/nft-limits.md lists the packets that nft handles differently";

function datapathText(summary: DatapathSummary, style: Style): string[] {
	const { datapath, same, different, notAsked, reasons, exact, countersDiffer } = summary;
	const { name } = RUNS[datapath];
	const text = `${name}: a copy of ${datapath === "ebpf" ? "it" : "them"} produces the same for ${same} packets, something else for ${different}`;
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
		...(unreadable > 0 ? [`${unreadable} that the stack would drop`] : []),
	];
	const lines = [`${packets} packets: ${counts.join(", ")}`];
	if (malformed > 0) lines.push(`${malformed} rewritten with the transport header out of reach`);
	const sums = `bad checksums: ${badChecksums.before} before, ${badChecksums.after} after, ${badChecksums.new} that were good before`;
	if (summary.checksumsCompleted > 0) {
		lines.push(`checksums left to the interface: ${summary.checksumsCompleted}, completed for the trace`);
	}
	lines.push(badChecksums.new > 0 ? style.bad(sums) : sums);
	for (const one of kernel) lines.push(...datapathText(one, style));
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
