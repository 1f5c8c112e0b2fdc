/** The output of `-h` for each command, generated from the parser's tables. */
import type { Family } from "@l3dsr/packet";
import { COMMAND_OPTIONS, MODE_OPTIONS, RESTORE_OPTIONS, SAVE_OPTIONS } from "./command-options.ts";
import { HEADER_OPTIONS } from "./header.ts";
import { modulesOf } from "./matches.ts";
import type { OptionSpec } from "./option.ts";
import { JUMP_OPTION, MATCH_OPTION } from "./rule-parser.ts";
import { TARGET_NAME, TARGET_OPTIONS } from "./target.ts";

/** The column in which the options' texts begin. */
const COLUMN = 40;

function line(option: OptionSpec): string {
	// As in iptables, the tables use "0" for --line-numbers, which nobody types.
	const short = option.short === undefined || option.short === "0" ? "" : `, -${option.short}`;
	const argument = option.argument === undefined ? "" : ` ${option.argument}`;
	const names = `${option.negatable ? "[!]" : "   "} --${option.long.join(", --")}${short}${argument}`;
	const lead = names.length < COLUMN - 1 ? names.padEnd(COLUMN) : `${names}\n${" ".repeat(COLUMN)}`;
	return lead + option.help;
}

function section(title: string, options: Iterable<OptionSpec>): string[] {
	return ["", title, ...[...options].map(line)];
}

function text(lines: readonly string[]): string {
	return lines.map((one) => `${one}\n`).join("");
}

/** The help of iptables-daddr: every option that its parser accepts. */
export function commandHelp(program: string, version: string, family: Family): string {
	const header = Object.values(HEADER_OPTIONS).filter(
		(option) => option !== HEADER_OPTIONS.fragment || family === "ipv4",
	);
	return text([
		`${program} v${version}`,
		"",
		`Usage: ${program} [-t table] -[AC] chain rule-specification`,
		`       ${program} [-t table] -I chain [rulenum] rule-specification`,
		`       ${program} [-t table] -R chain rulenum rule-specification`,
		`       ${program} [-t table] -D chain rule-specification | rulenum`,
		`       ${program} [-t table] -[LSZ] [chain [rulenum]] [options]`,
		`       ${program} [-t table] -F [chain]`,
		"",
		`A rule-specification is any of the matches below and -j ${TARGET_NAME} --set-daddr address.`,
		"Long options may be abbreviated as long as they are unique, and accept --option=value.",
		...section("Commands:", Object.values(COMMAND_OPTIONS)),
		...section("Options:", Object.values(MODE_OPTIONS)),
		...section("Rule:", [...header, MATCH_OPTION, JUMP_OPTION]),
		...modulesOf(family).flatMap(({ name, syntax }) =>
			section(`-m ${name}: ${syntax.summary}`, syntax.options(name)),
		),
		...section(`-j ${TARGET_NAME}: rewrite the destination address`, Object.values(TARGET_OPTIONS)),
	]);
}

export function saveHelp(program: string, version: string): string {
	return text([
		`${program} v${version}`,
		"",
		`Usage: ${program} [-c] [-t table] [-f filename]`,
		...section("Options:", Object.values(SAVE_OPTIONS)),
	]);
}

export function restoreHelp(program: string, version: string): string {
	return text([
		`${program} v${version}`,
		"",
		`Usage: ${program} [-c] [-n] [-t] [-v] [-T table] [-w [seconds]] [file]`,
		"",
		"Reads the file (or stdin) and replaces the rules of the tables that it names, all at once.",
		...section("Options:", Object.values(RESTORE_OPTIONS)),
	]);
}
