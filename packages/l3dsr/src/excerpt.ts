/**
 * The part of a line that a message shows, with the position in it: a short line as a whole, a window of a long one.
 */

import { printable } from "./printable.ts";

/** Longer lines are shown in part. */
const WIDTH = 400;
/** How much text before the position is then shown. */
const BEFORE = 60;
const CUT = "…";

export interface Excerpt {
	readonly text: string;
	/** The position in `text`, from 1. */
	readonly column: number;
	/** Length of the marked part, as far as it is shown. */
	readonly length: number;
}

/** `line` is the whole line: its excerpt has the same form. */
export function excerptOf(line: Excerpt): Excerpt {
	const { text, column, length } = line;
	if (text.length <= WIDTH) return line;
	const start = Math.max(0, Math.min(column - 1 - BEFORE, text.length - WIDTH));
	const end = Math.min(text.length, start + WIDTH);
	const before = start > 0 ? CUT : "";
	const shown = before + text.slice(start, end) + (end < text.length ? CUT : "");
	const at = column - start + before.length;
	return { text: shown, column: at, length: Math.max(1, Math.min(length, shown.length - at + 1)) };
}

/** The same with control characters escaped, as they are printed; the position is adjusted. */
export function printableExcerpt({ text, column, length }: Excerpt): Excerpt {
	const before = printable(text.slice(0, column - 1), "plain");
	const marked = printable(text.slice(column - 1, column - 1 + length), "plain");
	return {
		text: printable(text, "plain"),
		column: before.length + 1,
		length: Math.max(length, marked.length),
	};
}
