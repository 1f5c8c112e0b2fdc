/** Emphasis on a terminal; plain text everywhere else (and with NO_COLOR, see no-color.org). */
import type { CliContext } from "./context.ts";

export interface Style {
	bold(text: string): string;
	dim(text: string): string;
	good(text: string): string;
	bad(text: string): string;
}

export function styleFor(stream: { readonly isTTY?: boolean }, env: CliContext["env"]): Style {
	const plain = stream.isTTY !== true || (env.NO_COLOR ?? "") !== "" || env.TERM === "dumb";
	const sgr = (on: number, off: number) => (text: string) =>
		plain ? text : `\u001b[${on}m${text}\u001b[${off}m`;
	return { bold: sgr(1, 22), dim: sgr(2, 22), good: sgr(32, 39), bad: sgr(31, 39) };
}
