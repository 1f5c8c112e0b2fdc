/** A packet's record as text. */

import type { ChecksumVerdict } from "@l3dsr/packet";
import type { DirectorAnswer } from "../../inspect/trace/ask-director.ts";
import type { FailedCondition } from "../../inspect/trace/near-miss.ts";
import type { PacketRecord, RuleRecord, StopRecord } from "../../inspect/trace/record.ts";
import type { KernelRecord } from "../../inspect/trace/traced.ts";
import type { Style } from "../style.ts";
import { formatTable } from "../table.ts";

/** How many near misses of one place are printed; the rest are counted. */
const NEAR_MISSES = 5;

const UNREADABLE: Readonly<Record<string, string>> = {
	"no-ip-version": "neither IPv4 nor IPv6: the stack drops it, and no rule sees it",
	"header-cut": "the IP header is truncated: the stack drops it, and no rule sees it",
	"length-wrong": "its length field is wrong: the stack drops it, and no rule sees it",
};

const MALFORMED: Readonly<Record<string, string>> = {
	"transport-cut": "the transport header is truncated: the address is rewritten, but no transport checksum",
	"extension-chain-cut": "the chain of extension headers is truncated: only the address is rewritten",
	"extension-chain-long": "more extension headers than l3dsr follows: only the address is rewritten",
};

export function packetText(record: PacketRecord, style: Style, source: string, because?: string): string {
	const lines: string[] = [];
	const assumed = because === undefined ? "" : ` (${because}; -i names another)`;
	lines.push(style.bold(`${summary(record)}`));
	lines.push(`in ${record.interface || "no interface"}${assumed}, rules of ${source}`);
	if (record.vlans.some((id) => id > 0)) {
		lines.push(`VLAN ${record.vlans.filter((id) => id > 0).join(".")}: treated as on that VLAN's interface`);
	}
	if (record.unreadable !== undefined) {
		lines.push(style.bad(UNREADABLE[record.unreadable] ?? record.unreadable));
		return `${lines.join("\n")}\n`;
	}
	lines.push("");
	if (record.director !== undefined) lines.push(...directorText(record.director, style));
	if (record.stops.length === 0 && goesOn(record)) lines.push("no rule is on its path");
	for (const stop of record.stops) lines.push(...stopText(stop, style));
	lines.push("", headerText(record, style).trimEnd(), "");
	for (const { header, before, after } of record.checksums) {
		const text = `${header === "header" ? "IPv4 header" : "transport"} checksum: ${verdict(before)} before, ${verdict(after)} after`;
		const broken = before.verdict === "good" && after.verdict === "bad";
		lines.push(broken ? style.bad(text) : text);
	}
	if (record.checksumCompleted) lines.push(CHECKSUM_COMPLETED);
	if (record.malformed !== undefined) lines.push(MALFORMED[record.malformed] ?? record.malformed);
	for (const { datapath, rule, bytes } of record.counters) {
		lines.push(`counts 1 packet, ${bytes} bytes (${datapath}): ${rule}`);
	}
	for (const one of record.kernel) lines.push(kernelText(one, style));
	lines.push(outcome(record, style));
	return `${lines.join("\n")}\n`;
}

/** `203.0.113.9 → 10.0.0.5, DSCP 7 (TOS 0x1c), tcp 40000 → 80, 40 bytes`. */
function summary(record: PacketRecord): string {
	const value = (name: string) => record.header.find((field) => field.name === name)?.before;
	const transport = record.header.find(({ header }) => header !== "IPv4" && header !== "IPv6")?.header;
	const ports =
		value("source port") === undefined ? "" : ` ${value("source port")} → ${value("destination port")}`;
	if (record.header.length === 0) return `packet ${record.number}`;
	const protocol = transport ?? protocolText(value("protocol") ?? value("next header") ?? "");
	return `${value("source")} → ${value("destination")}, DSCP ${value("DSCP")}, ${protocol}${ports}, ${value("length")} bytes`;
}

/** A protocol without a name is printed as its number. */
function protocolText(value: string): string {
	return /^\d+$/.test(value) ? `protocol ${value}` : value;
}

function stopText({ datapath, place, rules }: StopRecord, style: Style): string[] {
	const matched = rules.filter((rule) => rule.matched);
	const others = rules.filter((rule) => !rule.matched);
	const near = nearMisses(others);
	const rest = others.length - near.length;
	return [
		`${datapath}, ${place}: ${rules.length} rule${rules.length === 1 ? "" : "s"} of its family`,
		...matched.map(({ rule }) => `  ${style.good("matches")}  ${rule}`),
		...near.flatMap(({ rule, failed }) => [
			`  nearly   ${rule}`,
			...failed.map(
				({ condition, packet, hint }) =>
					`           not ${condition}: ${packet}${hint === undefined ? "" : `\n           ${hint}`}`,
			),
		]),
		...(rest === 0 ? [] : [style.dim(`  ${rest} more ${rest === 1 ? "does" : "do"} not match`)]),
	];
}

/** Rules that miss one condition; those that only want another DSCP, only if they are few or confuse DSCP and TOS. */
function nearMisses(rules: readonly RuleRecord[]): RuleRecord[] {
	const single = rules.filter(({ failed }) => failed.length === 1);
	const confused = single.filter(({ failed }) => failed[0]?.hint !== undefined);
	const otherwise = single.filter(
		({ failed }) => failed[0]?.hint === undefined && failed[0]?.dscpOnly === false,
	);
	const byCode = single.filter(({ failed }) => failed[0]?.hint === undefined && failed[0]?.dscpOnly === true);
	const first = [...confused, ...otherwise].slice(0, NEAR_MISSES);
	return byCode.length + first.length <= NEAR_MISSES ? [...first, ...byCode] : first;
}

function headerText({ header }: PacketRecord, style: Style): string {
	const rows = header.map(({ header: layer, name, before, after, changed }) => [
		changed ? "*" : "",
		layer,
		name,
		before,
		changed ? after : "",
	]);
	const table = formatTable(["", "header", "field", "before", "after"], rows, { header: style.dim });
	return table
		.split("\n")
		.map((line) => (line.startsWith("*") ? style.bold(line) : line))
		.join("\n");
}

function verdict(checksum: ChecksumVerdict): string {
	if (checksum.verdict === "unknown") return `unknown (${checksum.why})`;
	return checksum.verdict === "none" ? "none" : checksum.verdict;
}

function kernelText(record: KernelRecord, style: Style): string {
	const { datapath, place, programId, exact, answer, why, bytes } = record;
	const { name } = RUNS[datapath];
	const copy =
		datapath === "ebpf"
			? `a copy of program ${programId} at ${place}`
			: `a copy of them, of ${place}, in a network namespace of its own`;
	if (answer === "not asked") return `${name}: could not be asked: ${why}`;
	if (answer === "different") {
		const because = why === undefined ? "" : ` (${why})`;
		const packet = bytes === undefined ? "DISAGREES" : `produces a DIFFERENT packet: ${bytes}`;
		return style.bad(`${name}: ${copy} ${packet}${because}`);
	}
	const same = `${name}: ${copy} produces the same packet`;
	return exact ? same : style.bad(`${same}, but ${NOT_EXACT[datapath]}`);
}

/** The names that the output uses for what runs on each datapath. */
export const RUNS = {
	ebpf: { name: "running program", short: "the running program makes" },
	nft: { name: "running nft rules", short: "the running nft rules make" },
} as const;

/** Printed if the copy is not the same as what runs, for example because another release made that. */
export const NOT_EXACT = {
	ebpf: "the running program has DIFFERENT INSTRUCTIONS from those that this release generates for its rules (l3dsr up replaces it)",
	nft: "the copy has DIFFERENT INSTRUCTIONS from the running rules (this kernel does not accept its own dump)",
} as const;

const CHECKSUM_COMPLETED =
	"its sender left the transport checksum to the interface: the packet is traced with the completed checksum";

function isAboutLocal({ condition }: FailedCondition): boolean {
	return condition.includes("--dst-type LOCAL");
}

/** Whether the stack sees the packet after the director. */
function goesOn({ director }: PacketRecord): boolean {
	return director === undefined || director.outcome === "pass" || director.way === "kernel";
}

const CHOSEN = {
	ring: "which the slot belongs to",
	before: "which the slot belonged to before its transition",
	entry: "as this flow is remembered",
} as const;

function directorText(director: DirectorAnswer, style: Style): string[] {
	const { place, outcome: what, reason, meaning, choice, real, way, interface: on } = director;
	const lines = [`director, ${place}: ${WHAT[what]}${reason === undefined ? "" : ` (${reason})`}`];
	if (choice !== undefined) {
		const { vip, protocol, port, slot, slots, by } = choice;
		lines.push(`  service  ${vip} ${protocol}/${port}`);
		lines.push(`  slot     ${slot} of ${slots}`);
		lines.push(
			real === undefined
				? "  real     none takes new flows"
				: `  real     ${style.good(real)}, ${CHOSEN[by]}`,
		);
	} else if (real !== undefined)
		lines.push(`  real     ${style.good(real)}, as the first fragment of its datagram`);
	if (way !== undefined)
		lines.push(`  way out  ${way === "kernel" ? "by the kernel's routing" : (on ?? "an interface")}`);
	if (meaning !== undefined) lines.push(`  because  ${meaning}`);
	return lines;
}

const WHAT: Readonly<Record<DirectorAnswer["outcome"], string>> = {
	forward: "forwards it",
	pass: "passes it to the kernel",
	drop: "drops it",
	answer: "answers it",
};

function directorOutcome({ outcome: what, real, interface: on }: DirectorAnswer, style: Style): string {
	if (what === "forward")
		return style.good(`result: sent to real server ${real}${on === undefined ? "" : ` out of ${on}`}`);
	return what === "answer" ? style.good("result: answered here") : style.bad("result: dropped");
}

function outcome(record: PacketRecord, style: Style): string {
	const { rewritten, destination, local, stops, checksums, director } = record;
	if (director !== undefined && !goesOn(record)) return directorOutcome(director, style);
	if (director?.way === "kernel" && !stops.some(({ rules }) => rules.some(({ matched }) => matched)))
		return style.good(`result: the kernel forwards it to real server ${director.real}`);
	const header = checksums.find((one) => one.header === "header");
	if (header?.before.verdict === "bad") {
		return style.bad("result: its IPv4 header checksum is wrong: the stack drops it");
	}
	if (!rewritten) {
		const none = stops.length === 0 ? "no rule" : "no rule matches";
		const then = local ? "it goes up the stack unchanged" : "it is forwarded, or dropped";
		const asked = stops.some(({ rules }) => rules.some(({ failed }) => failed.some(isAboutLocal)));
		const assume = asked ? ` (--local ${destination} takes it for one)` : "";
		return `result: ${none}: ${local ? then : `${destination} is not an address of this host${assume}, ${then}`}`;
	}
	if (local) return style.good(`result: rewritten to ${destination}, an address of this host: up the stack`);
	return style.bad(
		`result: rewritten to ${destination}, which is not an address of this host: it is forwarded or dropped (is the VIP on lo? l3dsr up adds it)`,
	);
}
