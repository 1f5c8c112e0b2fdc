/** Writes figures as Markdown and JSON, both from the same record. */
import { readFileSync, writeFileSync } from "node:fs";
import type { Series, Spread } from "./measure.ts";
import { spreadOf } from "./measure.ts";

export interface Machine {
	readonly cpu: string;
	readonly cpus: number;
	readonly kernel: string;
	readonly node: string;
	readonly date: string;
}

export interface Row {
	readonly name: string;
	/** One for each column of the table; undefined if there is no figure. */
	readonly cells: readonly (Spread | undefined)[];
}

export interface Table {
	readonly title: string;
	/** The meaning of the numbers, and how they were measured. */
	readonly note: string;
	readonly columns: readonly { readonly name: string; readonly digits: number }[];
	readonly rows: readonly Row[];
}

/** A limit that the project has set itself, and the measured figure. */
export interface Bar {
	readonly name: string;
	readonly measured: Spread;
	readonly atMost: number;
	readonly digits: number;
	readonly unit?: string;
}

export interface Report {
	readonly machine: Machine;
	/** `quick`: only a few rounds. */
	readonly effort: "full" | "quick";
	readonly bars: readonly Bar[];
	readonly tables: readonly Table[];
}

export function bar(name: string, series: Series, atMost: number, digits: number, unit?: string): Bar {
	return { name, measured: spreadOf(series), atMost, digits, ...(unit === undefined ? {} : { unit }) };
}

export function isMet({ measured, atMost }: Bar): boolean {
	return measured.median <= atMost;
}

export function renderReport(report: Report): string {
	const { machine, bars, tables, effort } = report;
	const { cpu, cpus, kernel, node, date } = machine;
	return [
		`Measured on ${date}: ${cpu} (${cpus} CPUs), Linux ${kernel}, Node ${node}${effort === "quick" ? ", few rounds" : ""}.`,
		"## The bar",
		markdownTable(
			["", "measured", "at most", ""],
			bars.map((one) => [
				one.name,
				`${cell(one.measured, one.digits)}${one.unit === undefined ? "" : ` ${one.unit}`}`,
				`${one.atMost}${one.unit === undefined ? "" : ` ${one.unit}`}`,
				isMet(one) ? "met" : "**missed**",
			]),
		),
		...tables.flatMap(({ title, note, columns, rows }) => [
			`## ${title}`,
			note,
			markdownTable(
				["", ...columns.map(({ name }) => name)],
				rows.map(({ name, cells }) => [
					name,
					...columns.map(({ digits }, index) => cell(cells[index], digits)),
				]),
			),
		]),
	].join("\n\n");
}

/** `58.1 (55.0 … 61.2)`: median, minimum and maximum of the rounds. */
function cell(spread: Spread | undefined, digits: number): string {
	if (spread === undefined) return "";
	const [median, min, max] = [spread.median, spread.min, spread.max].map((value) => value.toFixed(digits));
	return `${median} (${min} … ${max})`;
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
	const rule = head.map((_, index) => (index === 0 ? "---" : "--:"));
	return [head, rule, ...rows].map((line) => `| ${line.join(" | ")} |`).join("\n");
}

const BEGIN = "<!-- made by make bench: begin -->";
const END = "<!-- made by make bench: end -->";

/** Replaces the text between the page's markers. Throws RangeError if it has no markers. */
export function replaceGenerated(page: string, text: string): string {
	const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
	if (begin < 0 || end < begin) throw new RangeError("the page has no place for generated tables");
	return `${page.slice(0, begin)}${BEGIN}\n\n${text}\n\n${page.slice(end)}`;
}

/** Writes the report into the page, and the JSON beside it. */
export function writeReport(report: Report, pagePath: string, jsonPath: string): void {
	writeFileSync(pagePath, replaceGenerated(readFileSync(pagePath, "utf8"), renderReport(report)));
	writeFileSync(jsonPath, `${JSON.stringify(report, null, "\t")}\n`);
}
