/**
 * Text that cannot move a terminal's cursor: foreign text (file contents, arguments, interface names) is
 * printed through this, at the edge (cli/printable-output.ts). Control characters become `\u001b`, which is
 * valid in JSON too.
 */

/**
 * Matches a control character of C0 or C1 by excluding all others: for `\p{Cc}`, V8 first makes ICU build a table,
 * which takes a millisecond in a command that takes fifty.
 */
const CONTROL = /[^ -~\u00a0-\uffff]/g;

const ESCAPE = String.fromCharCode(0x1b);
/** Marks that change the direction of text. */
const DIRECTION = "[\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]";
const PLAIN = new RegExp(`${DIRECTION}|${CONTROL.source}`, "g");
/** The emphasis of cli/style.ts as well. */
const ON_TERMINAL = new RegExp(`${ESCAPE}\\[(?:1|2|22|31|32|39)m|${PLAIN.source}`, "g");

/**
 * Who gets the text: `file`, a program or file, which wants each printable character back; `plain`, a person, by a
 * journal or as foreign text within a line; `terminal`, a whole output with emphasis.
 */
type Reader = "file" | "plain" | "terminal";
const ESCAPED: Readonly<Record<Reader, RegExp>> = { file: CONTROL, plain: PLAIN, terminal: ON_TERMINAL };

/**
 * `text` with every control character except line feed and tab escaped; for people, also marks of text direction. On a
 * `terminal`, emphasis stays.
 */
export function printable(text: string, reader: Reader): string {
	return text.replace(ESCAPED[reader], (found) =>
		found.length > 1 || found === "\n" || found === "\t" ? found : escaped(found),
	);
}

function escaped(character: string): string {
	return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
