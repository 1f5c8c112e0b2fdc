/** Parses one rule specification: the header, the matches and the DADDR target. */
import { type Family, PORT_PROTOCOLS } from "@l3dsr/packet";
import type { Chain, Match, Rule, RuleHeader, Table } from "../../model/rule.ts";
import { Problems } from "../problems.ts";
import { didYouMean } from "../suggest.ts";
import { HEADER_OPTIONS, parseHeaders } from "./header.ts";
import { type MatchModule, modulesOf } from "./matches.ts";
import { isPortModule, portModuleOf } from "./matches-ports.ts";
import { NO_SERVICES, protocolNumber, type Services } from "./names.ts";
import {
	type Given,
	type Offer,
	OptionSet,
	type OptionSpec,
	offerOf,
	optionName,
	scanOptions,
} from "./option.ts";
import { parseTarget, TARGET_NAME, TARGET_OPTIONS } from "./target.ts";
import { matchHint, OTHER_MATCHES, OTHER_OPTIONS, OTHER_TARGETS } from "./unsupported.ts";
import { splitWords, type Word } from "./words.ts";

export const MATCH_OPTION: OptionSpec = {
	long: ["match"],
	short: "m",
	argument: "match",
	help: "load a match, see below",
};
export const JUMP_OPTION: OptionSpec = {
	long: ["jump"],
	short: "j",
	argument: TARGET_NAME,
	help: `the target, always ${TARGET_NAME}`,
};

/** The owner of an option. Each loaded match is an owner of its own, because the same module may be loaded twice. */
export type SpecOwner =
	| { readonly part: "header"; readonly key: keyof RuleHeader }
	| { readonly part: "match" }
	| { readonly part: "jump" }
	| { readonly part: "target" }
	| LoadedMatch;

interface LoadedMatch {
	readonly part: "loaded";
	readonly module: MatchModule;
	readonly at: Word;
	readonly given: Given[];
}

const BASE: Offer<SpecOwner> = offerOf<SpecOwner>([
	...Object.entries(HEADER_OPTIONS).map(
		// Object.entries does not keep the type of the keys.
		([key, option]) => [{ part: "header", key: key as keyof RuleHeader }, option] as const,
	),
	[{ part: "match" }, MATCH_OPTION],
	[{ part: "jump" }, JUMP_OPTION],
]);

const OF_TARGET: Offer<SpecOwner> = {
	set: new OptionSet(Object.values(TARGET_OPTIONS)),
	ownerOf: () => ({ part: "target" }),
};

export interface SpecContext {
	readonly family: Family;
	readonly services: Services;
	readonly problems: Problems;
}

/** Takes a rule's options one after the other, and makes the rules at the end. */
export class RuleSpecReader {
	readonly #context: SpecContext;
	readonly #header = new Map<keyof RuleHeader, Given>();
	readonly #loaded: LoadedMatch[] = [];
	readonly #targetOptions = new Map<OptionSpec, Given>();
	#target: Word | undefined;
	#targetKnown = false;
	/** An unsupported module was named, so unknown options are probably its own. */
	#foreignModule = false;
	/** The number of problems before this rule. */
	readonly #before: number;
	#offers: readonly Offer<SpecOwner>[] = [BASE];

	constructor(context: SpecContext) {
		this.#context = context;
		this.#before = context.problems.count;
	}

	/** The rule's options as typed; empty if there is no rule. */
	readonly seen: Given[] = [];

	/** Returns the same array until a match or the target is loaded. */
	offers(): readonly Offer<SpecOwner>[] {
		return this.#offers;
	}

	accept(given: Given, owner: SpecOwner): void {
		const { problems } = this.#context;
		this.seen.push(given);
		switch (owner.part) {
			case "header":
				if (this.#header.has(owner.key)) {
					const message = `multiple ${optionName(given.option)} flags not allowed`;
					problems.add("RULE_CONFLICT", message, given.at.position);
				} else this.#header.set(owner.key, given);
				return;
			case "match":
				if (given.value !== undefined) this.#loadMatch(given.value);
				return;
			case "jump":
				if (given.value !== undefined) this.#loadTarget(given.value, given.at);
				return;
			case "target":
				if (this.#targetOptions.has(given.option)) {
					const message = `${TARGET_NAME}: option "--${given.option.long[0]}" can only be used once.`;
					problems.add("RULE_CONFLICT", message, given.at.position);
				} else this.#targetOptions.set(given.option, given);
				return;
			case "loaded":
				owner.given.push(given);
		}
	}

	/** `-p tcp --dport 80` loads the protocol's match, as in iptables. */
	load(name: string): boolean {
		const protocol = this.#header.get("protocol");
		if (protocol?.value === undefined || protocol.negated) return false;
		const module = portModuleOf(protocolNumber(protocol.value.text));
		if (module === undefined || this.#loaded.some((loaded) => loaded.module.name === module)) return false;
		const found = modulesOf(this.#context.family).find((one) => one.name === module);
		const has = found?.options.options.some(({ long }) =>
			long.some((option) => `--${option}`.startsWith(name)),
		);
		if (found === undefined || has !== true) return false;
		this.#load(found, protocol.value);
		return true;
	}

	/** Says where an option belongs that exists elsewhere. True if nothing more needs to be said. */
	explain(name: string, at: Word): boolean {
		const { problems, family } = this.#context;
		if (this.#foreignModule) return true;
		const hint = OTHER_OPTIONS[name];
		if (hint !== undefined) {
			problems.add("RULE_UNSUPPORTED", `option "${name}" is not supported`, at.position, hint);
			return true;
		}
		const long = name.replace(/^--/, "");
		const home = modulesOf(family).find(({ options }) => options.long(long) !== undefined);
		if (home !== undefined) {
			const where = isPortModule(home.name) ? "-p tcp (or udp, sctp, dccp, udplite)" : `-m ${home.name}`;
			problems.add("RULE_UNKNOWN_OPTION", `unknown option "${name}"`, at.position, `${where} goes before it`);
			return true;
		}
		if (Object.values(TARGET_OPTIONS).some((option) => (option.long as readonly string[]).includes(long))) {
			const where = `-j ${TARGET_NAME} goes before it`;
			problems.add("RULE_UNKNOWN_OPTION", `unknown option "${name}"`, at.position, where);
			return true;
		}
		if (this.#targetKnown && /^--(set|clear)/.test(name)) {
			const known = Object.values(TARGET_OPTIONS).map((option) => `--${option.long[0]}`);
			const message = `target ${TARGET_NAME} has no option ${name}`;
			problems.add("RULE_UNKNOWN_OPTION", message, at.position, didYouMean(name, known));
			return true;
		}
		return false;
	}

	#load(module: MatchModule, at: Word): void {
		const loaded: LoadedMatch = { part: "loaded", module, at, given: [] };
		this.#loaded.push(loaded);
		this.#offers = [{ set: module.options, ownerOf: () => loaded }, ...this.#offers];
	}

	#loadMatch(word: Word): void {
		const { family, problems } = this.#context;
		const modules = modulesOf(family);
		const module = modules.find(({ name }) => name === word.text);
		if (module !== undefined) {
			this.#load(module, word);
			return;
		}
		this.#foreignModule = true;
		if (OTHER_MATCHES.includes(word.text)) {
			const message = `match \`${word.text}' is not supported`;
			problems.add("RULE_UNSUPPORTED", message, word.position, matchHint(word.text));
		} else {
			const other = modulesOf(family === "ipv4" ? "ipv6" : "ipv4").some(({ name }) => name === word.text);
			const hint = other
				? `for ${family === "ipv4" ? "IPv4 it is -m ttl" : "IPv6 it is -m hl"}`
				: didYouMean(
						word.text,
						modules.map(({ name }) => name),
					);
			problems.add("RULE_SYNTAX", `Couldn't load match \`${word.text}'`, word.position, hint);
		}
	}

	#loadTarget(word: Word, at: Word): void {
		const { problems } = this.#context;
		if (this.#target !== undefined) {
			problems.add("RULE_CONFLICT", "multiple -j flags not allowed", at.position);
			return;
		}
		this.#target = word;
		this.#targetKnown = word.text === TARGET_NAME;
		if (this.#targetKnown) {
			this.#offers = [OF_TARGET, ...this.#offers];
			return;
		}
		this.#foreignModule = true;
		if (OTHER_TARGETS.includes(word.text)) {
			const message = `target \`${word.text}' is not supported: rules here have the target ${TARGET_NAME}`;
			problems.add("RULE_UNSUPPORTED", message, word.position, "use iptables for other targets");
		} else {
			const joined = word.text.startsWith(`${TARGET_NAME}--`);
			const hint = joined
				? `a blank is missing (old versions saved rules so): -j ${TARGET_NAME} --set-daddr`
				: (didYouMean(word.text, [TARGET_NAME]) ?? `the target is ${TARGET_NAME}`);
			problems.add("RULE_SYNTAX", `Couldn't load target \`${word.text}'`, word.position, hint);
		}
	}

	/**
	 * The rules of the options: one, or several if `-s` or `-d` list several addresses. Faults are reported; the result
	 * is then meaningless. `end`: where to report something missing.
	 */
	finish(table: Table, chain: Chain | undefined, end: Word): Rule[] {
		const { family, problems, services } = this.#context;
		// After a fault in the words, a missing option may only have been misspelt.
		const complete = problems.count === this.#before;
		const headers = parseHeaders(this.#header, family, chain, problems);
		const [header = {}] = headers;
		const matches: Match[] = [];
		for (const { module, at, given } of this.#loaded) {
			if (given.length === 0 && module.syntax.missing !== undefined) {
				if (complete) problems.add("RULE_MISSING", module.syntax.missing, at.position);
				continue;
			}
			if (module.name === "mac" && (chain === "OUTPUT" || chain === "POSTROUTING")) {
				const message = `Can't use -m mac with ${chain}`;
				problems.add(
					"RULE_CONFLICT",
					message,
					at.position,
					"a packet that leaves has no sender's Ethernet address",
				);
				continue;
			}
			const match = module.syntax.parse(given, {
				module: module.name,
				family,
				at,
				header,
				services,
				problems,
			});
			if (match !== undefined) matches.push(match);
		}
		if (this.#target === undefined) {
			const message = `rule has no target: -j ${TARGET_NAME} is required`;
			const hint = `-j ${TARGET_NAME} --set-daddr ADDRESS`;
			if (complete) problems.add("RULE_MISSING", message, end.position, hint);
			return [];
		}
		if (!this.#targetKnown || (!complete && !this.#targetOptions.has(TARGET_OPTIONS.daddr))) return [];
		const target = parseTarget(this.#targetOptions, this.#target, family, problems);
		if (target === undefined || chain === undefined) return [];
		checkFollowing(this.#targetOptions, headers, problems);
		return headers.map((one) => ({ family, table, chain, header: one, matches, target }));
	}
}

/** A rule that takes packets by their flow must define what its flows are. */
function checkFollowing(
	given: ReadonlyMap<OptionSpec, Given>,
	headers: readonly RuleHeader[],
	problems: Problems,
): void {
	const known = headers.every(
		({ protocol }) => protocol !== undefined && !protocol.negated && PORT_PROTOCOLS.includes(protocol.number),
	);
	if (known) return;
	for (const option of [TARGET_OPTIONS.icmpErrors, TARGET_OPTIONS.laterFragments]) {
		const at = given.get(option)?.at;
		if (at === undefined) continue;
		const message = `${TARGET_NAME} target: ${at.text} needs a protocol that has ports`;
		problems.add("RULE_MISSING", message, at.position, "add -p tcp, udp, sctp, dccp or udplite");
	}
}

export interface RulePlace {
	readonly family: Family;
	readonly table: Table;
	readonly chain: Chain;
	/** For positions; default `argument`. */
	readonly source?: string;
	/** For positions, from 1; default 1. */
	readonly line?: number;
	readonly services?: Services;
}

/**
 * Reads the output of `formatRuleSpec` (and every other spelling that iptables accepts): the text after `-A CHAIN `.
 * Throws an L3dsrError with all faults and their positions.
 */
export function parseRuleSpec(text: string, place: RulePlace): Rule {
	const problems = new Problems();
	const { source = "argument", line = 1, services = NO_SERVICES } = place;
	const words = splitWords(text, { source, line }, problems);
	const reader = new RuleSpecReader({ family: place.family, services, problems });
	scanOptions(words, reader, problems);
	const end = words.at(-1) ?? {
		text: "",
		position: { source, line, column: 1, length: 1, text },
		verbatim: true,
	};
	const rules = reader.finish(place.table, place.chain, end);
	if (rules.length > 1) problems.add("RULE_CONFLICT", "rule does not specify a unique address", end.position);
	problems.throwIfAny();
	const [rule] = rules;
	if (rule === undefined) throw new Error("a rule specification gave neither a rule nor a problem");
	return rule;
}
