/** The record of `status` as text. */

import type { StatusRecord } from "../../inspect/status/status.ts";
import type { Style } from "../style.ts";
import { formatTable } from "../table.ts";
import { directorText } from "./director-text.ts";
import { isKept, keepingText } from "./keeping-text.ts";
import { rateCells } from "./rate-cells.ts";
import { stoppedText } from "./stopped-services.ts";

export function statusText(record: StatusRecord, style: Style, watching: boolean): string {
	const { services, drift, otherRules, datapath, director } = record;
	// A host that is only a director has no services of its own.
	const directsOnly = director !== undefined && services.length === 0;
	const table =
		services.length === 0 ? (directsOnly ? "" : "no services\n") : tableText(services, style, watching);
	const directing = director === undefined ? "" : directorText(director, style, watching);
	const kept = keepingText(record.keeping, record.configuration);
	const lines = [
		...(directsOnly ? [] : [`datapath: ${runningText(datapath)} (${datapath.why})`]),
		...(datapath.tcChecksum?.by === "helper"
			? [`checksums at tc are written by the kernel's helper, which is slower: ${datapath.tcChecksum.why}`]
			: []),
		...(otherRules === 0
			? []
			: [`${otherRules} other DADDR rule${otherRules === 1 ? "" : "s"} (l3dsr show)`]),
		...(record.configuration === null ? ["no configuration: services as the kernel has them"] : []),
		...services.flatMap(({ name, vip, reason }) =>
			reason === undefined ? [] : [stoppedText({ service: name, vip, reason }).trimEnd()],
		),
		...record.warnings.map((text) => style.bad(`warning: ${text}`)),
		...drift.map(({ object, problem }) => style.bad(`drift: ${object} ${problem}`)),
		...(kept === undefined ? [] : [kept]),
		...(record.refused === undefined
			? drift.length === 0
				? []
				: [
						`l3dsr diff shows the details, ${isKept(record.keeping, record.configuration) ? "the agent" : "l3dsr up"} repairs it`,
					]
			: [style.bad(`l3dsr up will refuse to ${record.refused}`)]),
	];
	return `${table}${directing}${lines.map((line) => `${line}\n`).join("")}`;
}

/** How many interfaces are named if programs are attached to more. */
const MOST_NAMED = 4;

/** `ebpf at tcx of eth0, answers of set-port by nft; nft`. */
function runningText({ running, hooks, answers }: StatusRecord["datapath"]): string {
	const places = [...Map.groupBy(hooks, ({ hook }) => hook)].map(([hook, at]) => {
		const names = at.map((one) => one.interface);
		const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : "";
		return `${hook} of ${names.slice(0, MOST_NAMED).join(", ")}${more}`;
	});
	const at = places.length === 0 ? "" : ` at ${places.join(" and ")}`;
	const back = answers === undefined ? "" : `, answers of set-port by ${answers}`;
	return running.map((name) => (name === "ebpf" ? `ebpf${at}${back}` : name)).join("; ") || "none";
}

/** Columns of a terminal. */
const WIDTH = 80;

interface Column {
	readonly title: string;
	readonly cell: (row: Row) => string;
}

type Row = StatusRecord["services"][number];

const NAME: Column = { title: "service", cell: ({ name }) => name };
const TYPE: Column = { title: "type", cell: ({ type }) => type };
const VIP: Column = { title: "vip", cell: ({ vip }) => vip };
const SELECTS: Column = { title: "selects", cell: ({ selects }) => selects };
const LOOPBACK: Column = { title: "loopback", cell: ({ loopback }) => loopback ?? "--" };
const STATE: Column = { title: "state", cell: ({ state }) => state };

/** All columns if they fit the terminal; else fewer, and what a service selects on a separate line. */
function tableText(services: readonly Row[], style: Style, watching: boolean): string {
	const counters = watching ? ["packets/s", "bit/s"] : ["packets", "bytes"];
	const counts = (row: Row): string[] =>
		watching ? rateCells(row.rate) : [cell(row.packets), cell(row.bytes)];
	const render = (columns: readonly Column[]): string[] =>
		formatTable(
			[...columns.map(({ title }) => title), ...counters],
			services.map((row) => [...columns.map((column) => column.cell(row)), ...counts(row)]),
			{ right: [columns.length, columns.length + 1] },
		).split("\n");
	const fits = (lines: readonly string[]): boolean => lines.every((line) => line.length <= WIDTH);
	const whole = [
		[NAME, TYPE, VIP, SELECTS, LOOPBACK, STATE],
		[NAME, VIP, SELECTS, STATE],
	]
		.map(render)
		.find(fits);
	if (whole !== undefined) return [style.bold(whole[0] ?? ""), ...whole.slice(1)].join("\n");
	const beside = render([NAME, VIP, STATE]);
	const [head = "", ...rows] = fits(beside) ? beside : render([NAME, STATE]);
	const below = (row: Row): string => (fits(beside) ? row.selects : `${row.vip}, ${row.selects}`);
	const lines = services.flatMap((row, index) => [rows[index] ?? "", ...folded(below(row))]);
	return [style.bold(head), ...lines].map((line) => `${line}\n`).join("");
}

/** Indented lines of the terminal's width, broken after commas. */
function folded(text: string): string[] {
	const lines: string[] = [];
	let line = "";
	for (const part of text.split(/(?<=,)/)) {
		if (line !== "" && line.length + part.length > WIDTH - 2) {
			lines.push(line);
			line = "";
		}
		line += line === "" ? part.trimStart() : part;
	}
	return [...lines, line].map((one) => `  ${one}`);
}

function cell(value: bigint | null): string {
	return value === null ? "--" : String(value);
}
