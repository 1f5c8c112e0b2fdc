/**
 * Parses the commands that a document shows. In a ```console block, a line that begins with "# " or "$ " is a
 * command (a backslash at its end continues it on the next line), and the lines below it are its output. "…"
 * in the output stands for any lines if it is alone on a line, else for any text.
 *
 * A block directly after `<!-- not run: REASON -->` is not run. A block in a list is indented, fences and all.
 */

export interface Step {
	/** Line of the document, from 1. */
	readonly line: number;
	readonly command: string;
	readonly expected: readonly string[];
}

/**
 * Every command of the document's console blocks, in order. Throws on a block that does not begin with one.
 */
export function parseConsoleBlocks(markdown: string): Step[] {
	const steps: { line: number; command: string; expected: string[] }[] = [];
	let inside = false;
	let shownOnly = false;
	let indent = "";
	for (const [index, whole] of markdown.split("\n").entries()) {
		const line = inside && whole.startsWith(indent) ? whole.slice(indent.length) : whole;
		if (!inside) {
			const fence = /^( *)```(\w+)/.exec(line);
			if (fence !== null) {
				inside = true;
				indent = fence[1] ?? "";
				shownOnly ||= fence[2] !== "console";
			} else if (line.trim() !== "") {
				shownOnly = /^<!-- not run: .+ -->$/.test(line);
			}
			continue;
		}
		if (line === "```") {
			inside = false;
			shownOnly = false;
			continue;
		}
		if (shownOnly) continue;
		const last = steps.at(-1);
		if (last?.command.endsWith("\\") && last.expected.length === 0) {
			last.command = `${last.command.slice(0, -1).trimEnd()} ${line.trim()}`;
		} else if (/^[#$] /.test(line)) {
			steps.push({ line: index + 1, command: line.slice(2), expected: [] });
		} else if (last === undefined) {
			throw new SyntaxError(`line ${index + 1}: a console block begins with a command`);
		} else {
			last.expected.push(line);
		}
	}
	return steps;
}

/** Whether the output matches the document. Trailing blanks and empty lines at the end do not count. */
export function matchesShown(output: string, expected: readonly string[]): boolean {
	const lines = trimmed(output.split("\n"));
	return linesMatch(lines, trimmed(expected));
}

function trimmed(lines: readonly string[]): string[] {
	const kept = lines.map((line) => line.trimEnd());
	while (kept.at(-1) === "") kept.pop();
	return kept;
}

function linesMatch(lines: readonly string[], expected: readonly string[]): boolean {
	const [first, ...rest] = expected;
	if (first === undefined) return lines.length === 0;
	if (first === "…")
		return lines.some((_, skip) => linesMatch(lines.slice(skip), rest)) || linesMatch([], rest);
	const [line, ...others] = lines;
	return line !== undefined && lineMatches(line, first) && linesMatch(others, rest);
}

function lineMatches(line: string, expected: string): boolean {
	const pattern = expected.split("…").map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
	return new RegExp(`^${pattern.join(".*")}$`).test(line);
}
