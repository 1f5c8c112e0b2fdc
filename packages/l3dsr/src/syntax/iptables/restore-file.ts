/** Parses a file of iptables-save or iptables-restore into commands, table by table. */
import type { Family } from "@l3dsr/packet";
import type { Counters, Table } from "../../model/rule.ts";
import { LIMITS } from "../limits.ts";
import { Problems } from "../problems.ts";
import { type Command, OTHER_FAMILY, parseCounter, readCommand } from "./command-line.ts";
import type { Services } from "./names.ts";
import { parseChain, parseTable } from "./table-and-chain.ts";
import { splitWords, type Word } from "./words.ts";

/** A command in a rules file: one that changes rules. */
export type RestoreCommand = Exclude<Command, { kind: "list" | "list-rules" | "help" | "version" }>;

/** The commands from `*table` to COMMIT. */
export interface RestoreTable {
	readonly table: Table;
	readonly commands: readonly RestoreCommand[];
}

export interface RestoreContext {
	readonly family: Family;
	/** File name for positions. */
	readonly source: string;
	readonly services: Services;
	/** Other tables are skipped, whatever they contain (-T). */
	readonly only?: Table;
	/** Whether `[packets:bytes]` sets a rule's counters (-c); otherwise it is read and ignored. */
	readonly counters: boolean;
}

/** Reads a whole file. Throws an L3dsrError with all faults, by line. */
export function parseRestoreFile(text: string, context: RestoreContext): RestoreTable[] {
	const problems = new Problems();
	const tables: RestoreTable[] = [];
	let open:
		| { readonly table: Table; readonly commands: RestoreCommand[]; readonly skip: boolean }
		| undefined;
	const lines = text.split("\n");
	let rules = 0;
	for (const [index, raw] of lines.entries()) {
		const line = raw.replace(/\r$/, "");
		const place = { source: context.source, line: index + 1 };
		if (/^\s*(#|$)/.test(line)) continue;
		if (problems.full) problems.throwIfAny();
		if (line.length > LIMITS.lineLength) {
			problems.add("RULE_SYNTAX", lineTooLong(line), { ...place, column: 1, length: 1, text: line });
			continue;
		}
		const whole: Word = {
			text: line,
			position: { ...place, column: 1, length: line.length, text: line },
			verbatim: true,
		};
		if (line.startsWith("*")) {
			if (open !== undefined) {
				problems.add("RULE_SYNTAX", `COMMIT expected before ${line}`, whole.position);
			}
			const name = line.slice(1).trim();
			const skip = context.only !== undefined && name !== context.only;
			const position = { ...whole.position, column: 2, length: Math.max(1, name.length) };
			// A table that -T skips may be one that does not exist here.
			const table = skip ? "raw" : parseTable({ ...whole, text: name, position }, problems, "file");
			open = { table, commands: [], skip };
		} else if (line.trim() === "COMMIT") {
			if (open === undefined)
				problems.add("RULE_SYNTAX", "COMMIT without a table", whole.position, TABLE_HINT);
			else if (!open.skip) tables.push({ table: open.table, commands: open.commands });
			open = undefined;
		} else if (open === undefined) {
			problems.add("RULE_SYNTAX", "line stands outside of a table", whole.position, TABLE_HINT);
		} else if (open.skip) {
			// Not checked, because the table is skipped.
		} else if (line.startsWith(":")) {
			readChainLine(splitWords(line, place, problems), open.table, problems);
		} else {
			const before = problems.count;
			const words = splitWords(line, place, problems);
			if (problems.count > before) continue;
			const command = readLine(words, open.table, context, problems);
			if (command === undefined || problems.count > before) continue;
			open.commands.push(command);
			rules += "rules" in command ? command.rules.length : 1;
			if (rules > LIMITS.rulesOfFile) {
				const message = `the file has more than ${LIMITS.rulesOfFile} rules`;
				problems.add("RULE_BAD_VALUE", message, whole.position, "is this the right file?");
				problems.throwIfAny();
			}
		}
	}
	if (open !== undefined) {
		const last = lines.length - (lines.at(-1) === "" ? 1 : 0);
		const position = {
			source: context.source,
			line: last,
			column: 1,
			length: 1,
			text: lines[last - 1] ?? "",
		};
		problems.add(
			"RULE_SYNTAX",
			"COMMIT expected at the end of the table",
			position,
			"the file may be cut short",
		);
	}
	problems.throwIfAny();
	return tables;
}

/** The message is the same for all files of rules. */
export function lineTooLong(line: string): string {
	return `the line has ${line.length} characters, at most ${LIMITS.lineLength} are read`;
}

const TABLE_HINT = "a table begins with a line such as *mangle";

/** `:CHAIN POLICY [packets:bytes]`. The policy is always ACCEPT, and its counters are ignored. */
function readChainLine(words: readonly Word[], table: Table, problems: Problems): void {
	const [first, policy, counters, more] = words;
	if (first === undefined) return;
	const name = { ...first, text: first.text.slice(1) };
	parseChain(name, table, problems);
	if (policy === undefined) {
		problems.add("RULE_MISSING", `chain ${name.text} has no policy`, first.position, "ACCEPT");
	} else if (policy.text === "DROP" || policy.text === "QUEUE" || policy.text === "-") {
		const message =
			policy.text === "-"
				? "user-defined chains are not supported"
				: `policy ${policy.text} is not supported`;
		problems.add("RULE_UNSUPPORTED", message, policy.position, "the policy of DADDR rules is ACCEPT");
	} else if (policy.text !== "ACCEPT") {
		problems.add(
			"RULE_BAD_VALUE",
			"Bad policy name.",
			policy.position,
			"the policy of DADDR rules is ACCEPT",
		);
	}
	if (counters !== undefined && parseCounters(counters.text) === undefined) {
		problems.add("RULE_BAD_VALUE", "invalid policy counters", counters.position, "[packets:bytes]");
	}
	if (more !== undefined) problems.add("RULE_SYNTAX", `Bad argument \`${more.text}'`, more.position);
}

function readLine(
	words: readonly Word[],
	table: Table,
	context: RestoreContext,
	problems: Problems,
): RestoreCommand | undefined {
	const [first, ...rest] = words;
	if (first === undefined) return undefined;
	let counters: Counters | undefined;
	let command = words;
	if (first.text.startsWith("[")) {
		counters = parseCounters(first.text);
		if (counters === undefined) {
			problems.add("RULE_BAD_VALUE", `invalid counters \`${first.text}'`, first.position, "[packets:bytes]");
		}
		command = rest;
	}
	const { family, services } = context;
	const read = readCommand(command, { family, services, problems, restoreTable: table });
	if (read === undefined || read === OTHER_FAMILY) return undefined;
	const found = read.command;
	switch (found.kind) {
		case "help":
		case "version":
		case "list":
		case "list-rules":
			problems.add("RULE_UNSUPPORTED", "this command is not allowed in a rules file", first.position);
			return undefined;
		case "append":
		case "insert":
		case "replace":
			return counters === undefined || !context.counters ? found : { ...found, counters };
		default:
			return found;
	}
}

function parseCounters(text: string): Counters | undefined {
	const [, packets = "", bytes = ""] = /^\[(\d+):(\d+)\]$/.exec(text) ?? [];
	const [p, b] = [parseCounter(packets), parseCounter(bytes)];
	return p === undefined || b === undefined ? undefined : { packets: p, bytes: b };
}
