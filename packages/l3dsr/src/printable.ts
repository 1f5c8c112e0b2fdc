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
/** The emphasis of cli/style.ts, marks that change the direction of text, and every control character. */
const ON_TERMINAL = new RegExp(
	`${ESCAPE}\\[(?:1|2|22|31|32|39)m|[\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]|${CONTROL.source}`,
	"g",
);

/**
 * `text` with every control character except line feed and tab escaped; on a `terminal`, also marks of text
 * direction, while emphasis stays.
 */
export function printable(text: string, terminal: boolean): string {
	return text.replace(terminal ? ON_TERMINAL : CONTROL, (found) =>
		found.length > 1 || found === "\n" || found === "\t" ? found : escaped(found),
	);
}

function escaped(character: string): string {
	return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
