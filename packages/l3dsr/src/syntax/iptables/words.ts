/**
 * The words of a command line or of a line of a rules file, each with its position; and the quoting of iptables-save
 * and iptables-restore.
 */
import type { Position } from "../../errors.ts";
import type { Problems } from "../problems.ts";
import { shellWord } from "../shell-word.ts";

export interface Word {
	/** Without quotes and escapes. */
	readonly text: string;
	readonly position: Position;
	/** True if the excerpt shows `text` unchanged, so that parts of the word have positions too. */
	readonly verbatim: boolean;
}

/** The position of `length` characters of a word from `start`; of the whole word if it was quoted. */
export function partOf(word: Word, start: number, length: number): Position {
	if (!word.verbatim) return word.position;
	// Something missing at the end of a word is shown at its last character.
	const at = Math.min(start, word.position.length - 1);
	return { ...word.position, column: word.position.column + at, length: Math.max(1, length) };
}

/** The rest of a word from `start`, as a word with its own position. */
export function tailOf(word: Word, start: number): Word {
	const text = word.text.slice(start);
	return { text, position: partOf(word, start, text.length), verbatim: word.verbatim };
}

/** The words of `argv`, with positions in a command line that a shell would split into the same words. */
export function wordsOfArgv(argv: readonly string[]): Word[] {
	const shown = argv.map(shellWord);
	const text = shown.join(" ");
	let column = 1;
	return argv.map((word, index) => {
		const raw = shown[index] ?? "";
		const position = { source: "argument", line: 1, column, length: Math.max(1, raw.length), text };
		column += raw.length + 1;
		return { text: word, position, verbatim: raw === word };
	});
}

/**
 * Splits one line like iptables-restore: blanks separate words, double quotes keep a word together, and a backslash
 * inside quotes takes the next character as it is. Reports an unclosed quote.
 */
export function splitWords(
	line: string,
	place: { readonly source: string; readonly line: number },
	problems: Problems,
): Word[] {
	if (!line.includes('"')) return splitUnquoted(line, place);
	const words: Word[] = [];
	let text = "";
	let start = -1;
	let quoted = false;
	let open = -1;
	const finish = (end: number): void => {
		if (start < 0) return;
		const position = { ...place, column: start + 1, length: end - start, text: line };
		words.push({ text, position, verbatim: !quoted });
		text = "";
		start = -1;
		quoted = false;
	};
	for (let i = 0; i < line.length; i++) {
		const c = line[i] ?? "";
		if (open >= 0) {
			if (c === '"') open = -1;
			else if (c === "\\") text += line[++i] ?? "";
			else text += c;
		} else if (c === " " || c === "\t") {
			finish(i);
		} else {
			if (start < 0) start = i;
			if (c === '"') {
				open = i;
				quoted = true;
			} else text += c;
		}
	}
	if (open >= 0) {
		const position = { ...place, column: open + 1, length: 1, text: line };
		problems.add("RULE_SYNTAX", "quote is not closed", position);
	}
	finish(line.length);
	return words;
}

/** A file has thousands of such lines. */
function splitUnquoted(line: string, { source, line: number }: { source: string; line: number }): Word[] {
	const words: Word[] = [];
	for (let start = 0; start < line.length; start++) {
		if (isBlank(line.charCodeAt(start))) continue;
		let end = start + 1;
		while (end < line.length && !isBlank(line.charCodeAt(end))) end++;
		const position = { source, line: number, column: start + 1, length: end - start, text: line };
		words.push({ text: line.slice(start, end), position, verbatim: true });
		start = end;
	}
	return words;
}

/** A blank or a tab. */
function isBlank(code: number): boolean {
	return code === 0x20 || code === 0x09;
}

/**
 * One argument as iptables-save prints it (xtables_save_string): quoted unless it has only letters, digits, `_` and
 * `-`.
 */
export function saveString(value: string): string {
	if (/^[\w-]+$/.test(value)) return value;
	return `"${value.replace(/["'\\]/g, "\\$&")}"`;
}
