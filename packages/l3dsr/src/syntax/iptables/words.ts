/**
 * Words of a command line or of a line of a rules file, each with its place, and the quoting that
 * iptables-save prints and iptables-restore reads.
 */
import type { Position } from "../../errors.ts";
import type { Problems } from "../problems.ts";
import { shellWord } from "../shell-word.ts";

export interface Word {
	/** Without quotes and escapes. */
	readonly text: string;
	readonly position: Position;
	/** True when the excerpt shows `text` as it is, so that a part of the word has a place too. */
	readonly verbatim: boolean;
}

/** The place of `length` characters of a word from `start` on; the whole word when it was quoted. */
export function partOf(word: Word, start: number, length: number): Position {
	if (!word.verbatim) return word.position;
	// What is missing at the end of a word is shown at its last character.
	const at = Math.min(start, word.position.length - 1);
	return { ...word.position, column: word.position.column + at, length: Math.max(1, length) };
}

/** The rest of a word from `start` on, as a word with its own place. */
export function tailOf(word: Word, start: number): Word {
	const text = word.text.slice(start);
	return { text, position: partOf(word, start, text.length), verbatim: word.verbatim };
}

/** The words of `argv`, placed in the line that a shell would read back as the same words. */
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
 * Splits one line as iptables-restore does: blanks separate, double quotes hold a word together, a
 * backslash inside quotes takes the next character as it is. An open quote is reported.
 */
export function splitWords(
	line: string,
	place: { readonly source: string; readonly line: number },
	problems: Problems,
): Word[] {
	if (!line.includes('"')) {
		return Array.from(line.matchAll(/[^ \t]+/g), ({ 0: text, index }) => ({
			text,
			position: {
				source: place.source,
				line: place.line,
				column: index + 1,
				length: text.length,
				text: line,
			},
			verbatim: true,
		}));
	}
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

/** One argument as iptables-save prints it (xtables_save_string): quoted unless letters, digits, `_`, `-`. */
export function saveString(value: string): string {
	if (/^[\w-]+$/.test(value)) return value;
	return `"${value.replace(/["'\\]/g, "\\$&")}"`;
}
