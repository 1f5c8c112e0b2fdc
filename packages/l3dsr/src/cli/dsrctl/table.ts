/** The table of `dsrctl status`. Scripts parse it, so every column stays as in the original. */
import type { DuplicateRules, ServiceReport, ServiceRow } from "../../plan/service-status.ts";

interface Column {
	readonly title: string;
	readonly width: number;
	/** Blanks after the column. */
	readonly gap: number;
	readonly cell: (row: ServiceRow) => string;
}

const ABSENT = "--";

export interface TableOptions {
	readonly header: boolean;
	/** The columns `iptbl` and `src`. */
	readonly discovered: boolean;
}

/** Lines about duplicate rules, then the table; each line with its newline. */
export function renderReport({ rows, duplicates }: ServiceReport, options: TableOptions): string {
	const columns = columnsOf(rows, options);
	const head = [
		columns.map(({ title }) => title),
		columns.map(({ title, width }) => "=".repeat(Math.max(title.length, width))),
	];
	const lines = [...(options.header ? head : []), ...rows.map((row) => columns.map(({ cell }) => cell(row)))];
	return duplicateLines(duplicates) + lines.map((cells) => `${renderLine(columns, cells)}\n`).join("");
}

/** One line for each rule that exists more than once. */
export function duplicateLines(duplicates: readonly DuplicateRules[]): string {
	return duplicates.map((one) => `${duplicateLine(one)}\n`).join("");
}

function columnsOf(rows: readonly ServiceRow[], { header, discovered }: TableOptions): Column[] {
	const widest = (title: string, gap: number, cell: Column["cell"]): Column => {
		// A title that is not printed does not widen its column.
		const width = rows.reduce((most, row) => Math.max(most, cell(row).length), header ? title.length : 0);
		return { title, width, gap, cell };
	};
	const fixed = (title: string, width: number, cell: Column["cell"]): Column => ({
		title,
		width,
		gap: 1,
		cell,
	});
	return [
		fixed("type", 5, ({ type }) => type),
		fixed("state", 7, ({ state }) => state),
		widest("name", 2, ({ name }) => name),
		widest("ipaddr", 2, ({ address }) => address),
		fixed("dscp", 4, ({ dscp }) => dscp ?? ABSENT),
		fixed("loopback", 8, ({ loopback }) => loopback ?? ABSENT),
		fixed("iptables", 8, ({ table }) => (table === undefined ? ABSENT : "up")),
		...(discovered
			? [
					widest("iptbl", 1, ({ table, configuredTable }) => table ?? configuredTable ?? ABSENT),
					fixed("src", 4, ({ source }) => source),
				]
			: []),
	];
}

/** The last cell is not padded. */
function renderLine(columns: readonly Column[], cells: readonly string[]): string {
	return columns
		.map(({ width, gap }, index) => {
			const cell = cells[index] ?? "";
			return index === columns.length - 1 ? cell : cell.padEnd(width) + " ".repeat(gap);
		})
		.join("");
}

function duplicateLine({ address, dscp, count }: DuplicateRules): string {
	const code = dscp === "" ? "" : `=${dscp}`;
	return `Duplicate iptables rules found for VIP ${address}${code} count=${count}`;
}
