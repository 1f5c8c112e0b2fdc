/** Prints a table in a format: the text on stdout, what the format cannot express on stderr. */
import type { Address } from "@l3dsr/packet";
import type { Printed, VipTable } from "../../syntax/export/vip-table.ts";
import { type CliContext, writeJson } from "../context.ts";
import { addressOption, usage } from "../option-values.ts";
import { type ExportFormat, formatNamed } from "./formats.ts";

export interface PrintOptions {
	readonly real?: readonly string[];
	readonly json?: boolean;
}

/** Throws L3dsrError (USAGE): no such format, or no real servers for a director. */
export function formatFor(name: string, { real }: PrintOptions): { format: ExportFormat; reals: Address[] } {
	const format = formatNamed(name);
	const reals = (real ?? []).map((text) => addressOption("--real", text));
	if (format.side === "director" && reals.length === 0) {
		throw usage(
			`format ${name} is for a director, which needs the real servers`,
			"name them: --real ADDRESS, one for each",
		);
	}
	return { format, reals };
}

export function printTable(
	context: CliContext,
	name: string,
	format: ExportFormat,
	table: VipTable,
	{ json }: PrintOptions,
): Printed {
	const printed = format.print(table);
	if (json === true) {
		writeJson(context.stdout, "export", { format: name, ...printed });
		return printed;
	}
	context.stdout.write(printed.text);
	for (const { what, why } of printed.left) context.stderr.write(`left out: ${what}: ${why}\n`);
	return printed;
}
