/** Parses the command line of iptables-daddr, or a command in a line of a rules file. */
import type { Family } from "@l3dsr/packet";
import type { Position } from "../../errors.ts";
import { type Chain, type Counters, isChainOf, type Rule, type Table } from "../../model/rule.ts";
import { LIMITS } from "../limits.ts";
import { parseDecimal } from "../numbers.ts";
import type { Problems } from "../problems.ts";
import {
	COMMAND_OPTIONS,
	type CommandName,
	MODE_OPTIONS,
	type ModeName,
	OTHER_COMMANDS,
} from "./command-options.ts";
import type { Services } from "./names.ts";
import { type Given, type Offer, offerOf, optionName, type Rest, scanOptions } from "./option.ts";
import { RuleSpecReader, type SpecOwner } from "./rule-parser.ts";
import { parseChain, parseTable } from "./table-and-chain.ts";
import { tailOf, type Word } from "./words.ts";

/** The chains that a command applies to: one, or all of the table. */
interface OnChains {
	readonly table: Table;
	readonly chain?: Chain;
}

interface OnRules {
	readonly table: Table;
	readonly chain: Chain;
	/** The chain's name or the rule number: where to report a fault that depends on the kernel's rules. */
	readonly position: Position;
}

export interface ListStyle {
	readonly numeric: boolean;
	readonly verbose: boolean;
	readonly exact: boolean;
	readonly lineNumbers: boolean;
}

export interface ListCommand extends OnChains {
	readonly kind: "list" | "list-rules";
	readonly at?: number;
	/** The rule number, the chain or the command: where to report that -Z does not find a rule. */
	readonly position: Position;
	/** Zeroes counters after printing them: of the rule that -Z names, or of the chain. */
	readonly zero?: { readonly at?: number };
	readonly style: ListStyle;
}

export type Command =
	| (OnRules & {
			readonly kind: "append" | "insert" | "check" | "delete";
			/** Counts from 1; 1 if unused. */
			readonly at: number;
			readonly rules: readonly Rule[];
			readonly counters?: Counters;
	  })
	| (OnRules & { readonly kind: "delete-number"; readonly at: number })
	| (OnRules & {
			readonly kind: "replace";
			readonly at: number;
			readonly rule: Rule;
			readonly counters?: Counters;
	  })
	| (OnChains & { readonly kind: "flush" })
	| (OnChains & { readonly kind: "zero"; readonly at?: number; readonly position: Position })
	/** Commands that change nothing here: `-P CHAIN ACCEPT`, and `-X` without user-defined chains. */
	| (OnChains & { readonly kind: "no-op" })
	| ListCommand
	| { readonly kind: "help" }
	| { readonly kind: "version" };

export function isListing(command: Command): command is ListCommand {
	return command.kind === "list" || command.kind === "list-rules";
}

/** How long to wait for the lock, in seconds; Infinity: for ever, 0: not at all. */
export interface CommandLine {
	readonly command: Command;
	readonly verbose: boolean;
	readonly waitSeconds: number;
}

export interface CommandContext {
	readonly family: Family;
	readonly services: Services;
	readonly problems: Problems;
	/** The table that contains this line of a rules file; -t is then refused. */
	readonly restoreTable?: Table;
}

/** Returned for a line of a rules file that `-4` or `-6` assigns to the other family's command. */
export const OTHER_FAMILY = Symbol("other family");

type Owner =
	| SpecOwner
	| { readonly part: "command"; readonly name: CommandName }
	| { readonly part: "mode"; readonly name: ModeName };

// Object.entries does not keep the type of the keys.
const COMMANDS = Object.entries(COMMAND_OPTIONS) as [CommandName, (typeof COMMAND_OPTIONS)[CommandName]][];
const MODES = Object.entries(MODE_OPTIONS) as [ModeName, (typeof MODE_OPTIONS)[ModeName]][];
const OWN: Offer<Owner> = offerOf<Owner>([
	...COMMANDS.map(([name, option]) => [{ part: "command", name }, option] as const),
	...MODES.map(([name, option]) => [{ part: "mode", name }, option] as const),
]);

/** The other options that a command may have (generic_opt_check in iptables). */
const MODES_OF: Readonly<Record<CommandName, readonly ModeName[]>> = {
	append: ["setCounters"],
	check: [],
	delete: [],
	insert: ["setCounters"],
	replace: ["setCounters"],
	list: ["numeric", "exact", "lineNumbers"],
	"list-rules": [],
	flush: [],
	zero: [],
	policy: ["setCounters"],
	"delete-chain": [],
	help: ["numeric", "exact", "lineNumbers", "setCounters"],
	version: ["numeric", "exact", "lineNumbers", "setCounters"],
};
const ANY_COMMAND: readonly ModeName[] = [
	"table",
	"verbose",
	"wait",
	"waitInterval",
	"modprobe",
	"ipv4",
	"ipv6",
];
/** The options that iptables accepts only once; of the others the last one counts. */
const ONCE: readonly ModeName[] = ["numeric", "exact", "lineNumbers", "setCounters"];
/** Commands that may have a rule number after the chain. */
const NUMBERED: readonly CommandName[] = ["delete", "insert", "replace", "list", "list-rules", "zero"];
const WITH_RULE: readonly CommandName[] = [
	"append",
	"check",
	"delete",
	"insert",
	"replace",
	"help",
	"version",
];

class CommandReader {
	readonly #context: CommandContext;
	readonly spec: RuleSpecReader;
	readonly modes = new Map<ModeName, Given>();
	command: { readonly name: CommandName; readonly given: Given } | undefined;
	zero: { readonly numbered: boolean } | undefined;
	chain: Word | undefined;
	number: Word | undefined;
	policy: Word | undefined;
	counters: Counters | undefined;
	waitSeconds = 0;

	constructor(context: CommandContext) {
		this.#context = context;
		this.spec = new RuleSpecReader(context);
	}

	offers(): readonly Offer<Owner>[] {
		return [...this.spec.offers(), OWN];
	}

	load(name: string): boolean {
		return this.spec.load(name);
	}

	explain(name: string, at: Word): boolean {
		const hint = OTHER_COMMANDS[name];
		if (hint === undefined) return this.spec.explain(name, at);
		this.#context.problems.add("RULE_UNSUPPORTED", `${name} is not supported`, at.position, hint);
		return true;
	}

	accept(given: Given, owner: Owner, rest: Rest): void {
		if (owner.part === "command") this.#command(owner.name, given, rest);
		else if (owner.part === "mode") this.#mode(owner.name, given, rest);
		else this.spec.accept(given, owner);
	}

	#command(name: CommandName, given: Given, rest: Rest): void {
		const before = this.command;
		const listing = (one: CommandName | undefined): boolean => one === "list" || one === "list-rules";
		let takes = true;
		const asksZero = name === "zero" && listing(before?.name);
		if (before === undefined || (before.name === "zero" && listing(name))) {
			this.command = { name, given };
		} else if (!asksZero) {
			takes = false;
			this.#second(name, given, before);
		}
		const chain = given.value ?? (given.option.optional === undefined ? undefined : rest.takeBare());
		const number = NUMBERED.includes(name) && chain !== undefined ? rest.takeBare() : undefined;
		if (name === "policy") this.policy = rest.takeBare();
		if (name === "zero" && takes) this.zero = { numbered: number !== undefined };
		if (takes && chain !== undefined) this.chain = chain;
		if (takes && number !== undefined) this.number = number;
	}

	/** A command after another one: -h and -V win, all others are an error. */
	#second(name: CommandName, given: Given, before: { readonly given: Given }): void {
		if (name === "help" || name === "version") {
			this.command = { name, given };
			return;
		}
		const message = `Cannot use ${optionName(given.option)} with ${optionName(before.given.option)}`;
		this.#context.problems.add("RULE_CONFLICT", message, given.at.position);
	}

	#mode(name: ModeName, given: Given, rest: Rest): void {
		const { problems, restoreTable, family } = this.#context;
		if (this.modes.has(name) && ONCE.includes(name)) {
			const message = `multiple ${optionName(given.option)} flags not allowed`;
			problems.add("RULE_CONFLICT", message, given.at.position);
		}
		this.modes.set(name, given);
		if (name === "table" && restoreTable !== undefined) {
			const message = "The -t option cannot be used in iptables-daddr-restore.";
			problems.add("RULE_CONFLICT", message, given.at.position, "name the table on a separate line: *raw");
		} else if (name === "setCounters") {
			this.#setCounters(given, rest);
		} else if (name === "wait") {
			const seconds = given.value ?? rest.takeBare();
			this.waitSeconds = seconds === undefined ? Number.POSITIVE_INFINITY : waitSeconds(seconds, problems);
		} else if (name === (family === "ipv4" ? "ipv6" : "ipv4") && restoreTable === undefined) {
			const other = family === "ipv4" ? "ip6tables-daddr" : "iptables-daddr";
			const message = `${optionName(given.option)} is not valid for this command`;
			problems.add("RULE_CONFLICT", message, given.at.position, `use ${other}`);
		}
	}

	/** `-c PKTS BYTES`, or `-c PKTS,BYTES`, which iptables also accepts. */
	#setCounters(given: Given, rest: Rest): void {
		const { problems } = this.#context;
		const { value } = given;
		if (value === undefined) return;
		const comma = value.text.indexOf(",");
		const packets = comma < 0 ? value : { ...value, text: value.text.slice(0, comma) };
		const bytes = comma < 0 ? rest.takeBare() : tailOf(value, comma + 1);
		if (bytes === undefined) {
			problems.add("RULE_MISSING", "-c requires packet and byte counter", given.at.position);
			return;
		}
		const numbers = [packets, bytes].map((word) => {
			const number = parseCounter(word.text);
			if (number === undefined) {
				problems.add("RULE_BAD_VALUE", `-c packet counter not numeric: \`${word.text}'`, word.position);
			}
			return number ?? 0n;
		});
		this.counters = { packets: numbers[0] ?? 0n, bytes: numbers[1] ?? 0n };
	}
}

/** A decimal u64, else undefined. */
export function parseCounter(text: string): bigint | undefined {
	if (!/^\d{1,20}$/.test(text)) return undefined;
	const value = BigInt(text);
	return value < 1n << 64n ? value : undefined;
}

/** The argument of `-w`; reports faults. */
export function waitSeconds(word: Word, problems: Problems): number {
	const seconds = parseDecimal(word.text);
	if (seconds !== undefined) return seconds;
	problems.add("RULE_BAD_VALUE", "wait seconds not numeric", word.position);
	return 0;
}

/**
 * Reads one command. Faults are reported to `context.problems`; the result is then undefined or meaningless.
 * OTHER_FAMILY: the line of a file is not for this command.
 */
export function readCommand(
	words: readonly Word[],
	context: CommandContext,
): CommandLine | typeof OTHER_FAMILY | undefined {
	const { family, problems, restoreTable } = context;
	if (restoreTable !== undefined) {
		// The other family's syntax may look wrong here, so check for its flag first.
		const foreign = family === "ipv4" ? ["-6", "--ipv6"] : ["-4", "--ipv4"];
		if (words.some((word) => foreign.includes(word.text))) return OTHER_FAMILY;
	}
	const before = problems.count;
	const tooMany = words[LIMITS.words];
	if (tooMany !== undefined) {
		const message = `a command has ${words.length} words, the limit is ${LIMITS.words}`;
		problems.add("RULE_SYNTAX", message, tooMany.position);
		return undefined;
	}
	const reader = new CommandReader(context);
	scanOptions<Owner>(words, reader, problems);
	const first = words[0];
	const end = words.at(-1);
	if (reader.command === undefined || first === undefined || end === undefined) {
		if (problems.count === before) {
			problems.add("RULE_MISSING", "no command specified", first?.position, "-L lists, -A appends, -h helps");
		}
		return undefined;
	}
	const { name, given } = reader.command;
	const verbose = reader.modes.has("verbose");
	const done = (command: Command): CommandLine => ({ command, verbose, waitSeconds: reader.waitSeconds });
	if (name === "help" || name === "version") return done({ kind: name });
	if (restoreTable !== undefined && (name === "list" || name === "list-rules")) {
		problems.add(
			"RULE_UNSUPPORTED",
			`${optionName(given.option)} is not allowed in a rules file`,
			given.at.position,
		);
		return undefined;
	}

	const tableWord = reader.modes.get("table")?.value;
	const table =
		restoreTable ?? (tableWord === undefined ? "raw" : parseTable(tableWord, problems, "command"));
	const chain = readChain(name, reader.chain, table, problems);
	const at = reader.number === undefined ? undefined : parseRuleNumber(reader.number, problems);
	for (const [mode, one] of reader.modes) {
		if (ANY_COMMAND.includes(mode) || MODES_OF[name].includes(mode)) continue;
		const typed = one.option.short === "0" ? "--line-numbers" : optionName(one.option);
		problems.add("RULE_CONFLICT", `Illegal option \`${typed}' with this command`, one.at.position);
	}
	if (name === "replace" && reader.number === undefined) {
		problems.add("RULE_MISSING", "-R requires a rule number", given.at.position);
	}
	const withRule = WITH_RULE.includes(name) && !(name === "delete" && at !== undefined);
	if (!withRule) {
		for (const one of reader.spec.seen) {
			const message = `Illegal option \`${optionName(one.option)}' with this command`;
			problems.add("RULE_CONFLICT", message, one.at.position);
		}
	}
	const style: ListStyle = {
		numeric: reader.modes.has("numeric"),
		verbose,
		exact: reader.modes.has("exact"),
		lineNumbers: reader.modes.has("lineNumbers"),
	};
	const onChains = { table, ...(chain === undefined ? {} : { chain }), ...(at === undefined ? {} : { at }) };
	const position = (reader.number ?? reader.chain ?? given.at).position;
	switch (name) {
		case "list":
		case "list-rules":
			return done({
				kind: name,
				...onChains,
				position,
				...(reader.zero && { zero: reader.zero.numbered && at !== undefined ? { at } : {} }),
				style,
			});
		case "flush":
			return done({ kind: "flush", table, ...(chain === undefined ? {} : { chain }) });
		case "zero":
			return done({ kind: "zero", ...onChains, position });
		case "policy":
			requireAccept(reader.policy, given, problems);
			return done({ kind: "no-op", ...onChains });
		case "delete-chain":
			return done({ kind: "no-op", table });
		case "append":
		case "check":
		case "delete":
		case "insert":
		case "replace": {
			const rules = withRule ? reader.spec.finish(table, chain, end) : [];
			if (chain === undefined) return undefined;
			const place = { table, chain, position };
			if (name === "delete" && at !== undefined) return done({ kind: "delete-number", ...place, at });
			const counters = reader.counters === undefined ? {} : { counters: reader.counters };
			if (name !== "replace") return done({ kind: name, ...place, at: at ?? 1, rules, ...counters });
			const [rule, second] = rules;
			if (second !== undefined) {
				const message = "Replacement rule does not specify a unique address";
				problems.add("RULE_CONFLICT", message, given.at.position);
			}
			if (rule === undefined) return undefined;
			return done({ kind: "replace", ...place, at: at ?? 1, rule, ...counters });
		}
	}
}

/** The chain that a command names. -X may name a chain that does not exist. */
function readChain(
	command: CommandName,
	word: Word | undefined,
	table: Table,
	problems: Problems,
): Chain | undefined {
	if (word === undefined) return undefined;
	if (command === "policy") return parseChain(word, table, problems, "Bad built-in chain name.");
	if (command !== "delete-chain") return parseChain(word, table, problems);
	const hint = "there are no user-defined chains; -F empties a chain";
	if (isChainOf(table, word.text)) {
		problems.add("RULE_UNSUPPORTED", `chain ${word.text} is built in`, word.position, hint);
	} else {
		problems.add("RULE_NOT_FOUND", "No chain/target/match by that name.", word.position, hint);
	}
	return undefined;
}

/** The only policy is ACCEPT. */
function requireAccept(policy: Word | undefined, given: Given, problems: Problems): void {
	const hint = "the policy is always ACCEPT: DADDR rules only rewrite; set a policy with iptables";
	if (policy === undefined) {
		problems.add("RULE_MISSING", "-P requires a chain and a policy", given.at.position, hint);
	} else if (policy.text === "DROP") {
		problems.add("RULE_UNSUPPORTED", "policy DROP is not supported", policy.position, hint);
	} else if (policy.text !== "ACCEPT") {
		problems.add("RULE_NOT_FOUND", "Bad policy name.", policy.position, hint);
	}
}

function parseRuleNumber(word: Word, problems: Problems): number | undefined {
	const number = parseDecimal(word.text);
	if (number !== undefined && number >= 1) return number;
	return problems.add(
		"RULE_BAD_VALUE",
		`Invalid rule number \`${word.text}'`,
		word.position,
		"rules count from 1",
	);
}
