/** Columns of text, as wide as their widest entry. */

export interface TableOptions {
	/** Printed before every line. */
	readonly indent?: string;
	/** Columns (from 0) with numbers, which are right-aligned. */
	readonly right?: readonly number[];
	/** Applied to the header line. */
	readonly header?: (line: string) => string;
}

/** The rows under their header, two blanks between columns, no blanks at the end of a line. */
export function formatTable(
	header: readonly string[],
	rows: readonly (readonly string[])[],
	{ indent = "", right = [], header: decorate = (line) => line }: TableOptions = {},
): string {
	const widths = header.map((title, column) =>
		Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
	);
	const line = (cells: readonly string[]) =>
		widths
			.map((width, column) => {
				const cell = cells[column] ?? "";
				return right.includes(column) ? cell.padStart(width) : cell.padEnd(width);
			})
			.join("  ")
			.trimEnd();
	return [decorate(indent + line(header)), ...rows.map((row) => indent + line(row))]
		.map((text) => `${text}\n`)
		.join("");
}
