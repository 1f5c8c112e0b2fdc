/** Text that people see. */

/** Replaces control characters and quotes: the text cannot move a terminal's cursor or end a quoted string. */
export function printable(text: string): string {
	return harmless(text).replaceAll('"', "?");
}

/** Replaces control characters only, for a sentence with quotes of its own. */
export function harmless(text: string): string {
	return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?");
}
