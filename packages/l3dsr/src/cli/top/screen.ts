/** The screen of `top`: from state and latest look to lines that fit the terminal. Pure. */
import type { StatusRecord } from "../../inspect/status/status.ts";
import { printable } from "../../printable.ts";
import { keepingText } from "../services/keeping-text.ts";
import { rateCells } from "../services/rate-cells.ts";
import type { Style } from "../style.ts";
import { ORDERS, rowsOf, type Tone, type TopRow } from "./rows.ts";
import { shownRows, type TopState, TREND, within } from "./state.ts";

export interface Size {
	readonly columns: number;
	readonly rows: number;
}

/** One look at the host. */
export interface Look {
	/** With rates, from the second look on. */
	readonly record: StatusRecord;
	readonly host: string;
	/** Time of day, `14:03:27`. */
	readonly time: string;
	/** Why the last update failed; the values shown are older. */
	readonly failed?: string;
}

export interface Screen {
	/** At most as many as the terminal has, none wider than it. */
	readonly lines: readonly string[];
	/** The number of rows, and how many fit. */
	readonly rows: number;
	readonly page: number;
}

export interface Canvas extends Size {
	readonly style: Style;
	/** The terminal shows UTF-8: trends can be drawn. */
	readonly unicode: boolean;
}

/** The maximum number of lines for problems above the table. */
const MOST_PROBLEMS = 3;

export function renderTop(look: Look, state: TopState, { columns, rows, style, unicode }: Canvas): Screen {
	const shown = shownRows(look.record, state);
	const above = headLines(look, style, columns);
	// The heading of the table above its rows, the keys below them.
	const page = Math.max(0, rows - above.length - 2);
	const offset = within(state.offset, { rows: shown.length, page });
	const visible = shown.slice(offset, offset + page);
	const table = state.help
		? HELP.slice(0, page + 1).map((line) => clip(line, columns))
		: tableLines(visible, state, { columns, rows, style, unicode }, shown);
	const body = [...above, ...table].slice(0, Math.max(0, rows - 1));
	const filling = Array<string>(Math.max(0, rows - 1 - body.length)).fill("");
	const foot = footLine(state, { first: offset, shown: visible.length, rows: shown.length }, look, columns);
	return { lines: [...body, ...filling, style.dim(foot)].slice(0, rows), rows: shown.length, page };
}

function headLines({ record, host, time, failed }: Look, style: Style, columns: number): string[] {
	const services = rowsOf(record, "services");
	const wanted = services.filter(({ tone }) => tone !== "idle");
	const wrong = wanted.filter(({ tone }) => tone !== "good").length;
	const verdict =
		services.length === 0
			? "no services"
			: wrong === 0
				? `${wanted.length} of ${wanted.length} services up`
				: `${wrong} of ${wanted.length} services not up`;
	const rates = services.flatMap(({ rate }) => (rate === null ? [] : [rate]));
	const sum =
		rates.length === 0
			? null
			: rates.reduce((a, b) => ({ packets: a.packets + b.packets, bytes: a.bytes + b.bytes }));
	const [packets = "", bits = ""] = rateCells(sum);
	const running = record.datapath.running.join(", ") || "none";
	const title = `l3dsr top  ${host}  ${time}`;
	const facts = [
		...(record.services.length === 0 ? [] : [`datapath ${running}`]),
		...(record.director === undefined ? [] : [directorFact(record.director)]),
		`${packets} packets/s`,
		`${bits} bit/s`,
	].join("   ");
	const problems = [
		...(failed === undefined ? [] : [`cannot read the host: ${failed}`]),
		...(record.keeping.hold === null ? [] : [keepingText(record.keeping, record.configuration) ?? ""]),
		...(record.refused === undefined ? [] : [`l3dsr up will refuse to ${record.refused}`]),
		...record.drift.map(({ object, problem }) => `drift: ${object} ${problem}`),
		...record.warnings.map((text) => `warning: ${text}`),
	];
	const more = problems.length - MOST_PROBLEMS;
	const told =
		more > 0 ? [...problems.slice(0, MOST_PROBLEMS - 1), `and ${more + 1} more: l3dsr diff`] : problems;
	const state = wrong === 0 ? style.good : style.bad;
	return [
		style.bold(clip(title, columns)),
		`${state(clip(verdict, columns))}${clip(`   ${facts}`, columns - Math.min(columns, verdict.length))}`,
		...told.map((line) => style.bad(clip(line, columns))),
		"",
	];
}

function directorFact({ programs }: NonNullable<StatusRecord["director"]>): string {
	const places = programs.map(({ interface: on, hook }) => `${on} (${hook})`).join(", ");
	return places === "" ? "director not running" : `directs at ${places}`;
}

interface Column {
	readonly title: string;
	readonly cell: (row: TopRow) => string;
	/** The column is right-aligned. */
	readonly right?: true;
	/** On a narrow terminal, columns with a higher number are left out first. */
	readonly rank: number;
	/** Wider cells are cut. */
	readonly most: number;
}

const BARS = "▁▂▃▄▅▆▇█";

function columnsOf({ view, trends }: TopState, unicode: boolean): readonly Column[] {
	const ofServices = view === "services";
	return [
		{ title: "state", cell: ({ state }) => state, rank: 0, most: 14 },
		{ title: ofServices ? "service" : "real server", cell: ({ name }) => name, rank: 0, most: 28 },
		{ title: ofServices ? "vip" : "address", cell: ({ address }) => address, rank: 2, most: 39 },
		{ title: ofServices ? "takes" : "service", cell: ({ what }) => what, rank: 3, most: 40 },
		{ title: ofServices ? "by" : "share", cell: ({ by }) => by, rank: ofServices ? 5 : 1, most: 20 },
		{ title: "packets/s", cell: ({ rate }) => rateCells(rate)[0] ?? "", right: true, rank: 0, most: 9 },
		{ title: "bit/s", cell: ({ rate }) => rateCells(rate)[1] ?? "", right: true, rank: 1, most: 6 },
		...(unicode
			? [{ title: "trend", cell: ({ key }: TopRow) => trendText(trends.get(key)), rank: 4, most: TREND }]
			: []),
		...(ofServices ? [] : [{ title: "why", cell: ({ reason = "" }: TopRow) => reason, rank: 6, most: 60 }]),
	];
}

function trendText(values: readonly number[] | undefined): string {
	const most = Math.max(...(values ?? []), 0);
	if (values === undefined || most === 0) return "";
	const bar = (value: number): string => BARS[Math.round((value / most) * (BARS.length - 1))] ?? "";
	return values.map(bar).join("").padStart(TREND);
}

/** The heading, and one line per row. Widths fit all rows, so that scrolling does not move columns. */
function tableLines(
	visible: readonly TopRow[],
	state: TopState,
	{ columns, style, unicode }: Canvas,
	all: readonly TopRow[],
): string[] {
	const wanted = columnsOf(state, unicode);
	const widths = new Map(
		wanted.map((column) => {
			const widest = all.reduce((most, row) => Math.max(most, column.cell(row).length), column.title.length);
			return [column, column.title === "trend" ? TREND : Math.min(column.most, widest)];
		}),
	);
	const widthOf = (column: Column): number => widths.get(column) ?? 0;
	const total = (some: readonly Column[]): number =>
		some.reduce((sum, column) => sum + widthOf(column) + GAP.length, -GAP.length);
	let kept = wanted;
	for (let rank = 6; rank > 0 && total(kept) > columns; rank--)
		kept = kept.filter((column) => column.rank !== rank);
	const line = (texts: (column: Column) => string): string =>
		clip(
			kept
				.map((column) => {
					const text = clip(printable(texts(column), "plain"), widthOf(column));
					return column.right === true ? text.padStart(widthOf(column)) : text.padEnd(widthOf(column));
				})
				.join(GAP)
				.trimEnd(),
			columns,
		);
	return [
		style.bold(line(({ title }) => title)),
		...visible.map((row) => TONES[row.tone](style)(line(({ cell }) => cell(row)))),
	];
}

const GAP = "  ";

const TONES: Readonly<Record<Tone, (style: Style) => (text: string) => string>> = {
	good: () => (text) => text,
	warn: ({ bold }) => bold,
	bad: ({ bad }) => bad,
	idle: ({ dim }) => dim,
};

function footLine(
	{ order, reversed, filter, typing, view }: TopState,
	{ first, shown, rows }: { readonly first: number; readonly shown: number; readonly rows: number },
	{ record }: Look,
	columns: number,
): string {
	if (typing) return clip(`filter: ${filter}_   (Enter keeps it, Esc drops it)`, columns);
	const place =
		rows === 0
			? `no ${view}`
			: shown === 0
				? `${rows} ${view}`
				: `${first + 1}-${first + shown} of ${rows} ${view}`;
	const parts = [
		place,
		...(filter === "" ? [] : [`filter "${filter}"`]),
		order === "configured" && !reversed ? "as configured" : `by ${order}${reversed ? ", reversed" : ""}`,
		"q quit  s sort  r reverse  / filter",
		...(record.director === undefined ? [] : [view === "services" ? "Tab real servers" : "Tab services"]),
		"h help",
	];
	return clip(parts.join("  "), columns);
}

const HELP: readonly string[] = [
	"q, Ctrl-C      end",
	"arrows, j, k   one row down or up",
	"PgDn, PgUp     a page down or up; Space and b too",
	"Home, End      the first and the last row; g and G too",
	`s              sort by the next of: ${ORDERS.join(", ")}`,
	"r              reverse the order",
	"/              show only rows with these words; Enter keeps the filter, Esc drops it",
	"Tab            on a director: services, or real servers",
	"Ctrl-Z         suspend; fg resumes",
	"h, ?           this help; any key closes it",
	"",
	"Rates are per second, since the look before. States: see l3dsr(8), status.",
];

/** At most this many columns, one per character; a cut is marked. The text is made printable. */
function clip(text: string, width: number): string {
	const characters = [...printable(text, "plain").replace(/[\n\t]/g, " ")];
	if (characters.length <= width) return characters.join("");
	if (width <= 0) return "";
	return `${characters.slice(0, width - 1).join("")}>`;
}
