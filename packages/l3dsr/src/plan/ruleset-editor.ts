/**
 * Edits rules like the commands of iptables: from the kernel's current rules and the edits to the wanted rules. Pure;
 * the result goes to a datapath's `change`.
 */
import type { Family } from "@l3dsr/packet";
import { L3dsrError, type Position } from "../errors.ts";
import {
	CHAINS,
	type Chain,
	type Counters,
	type Rule,
	sameRule,
	type Table,
	ZERO_COUNTERS,
} from "../model/rule.ts";
import { ORDINAL_STEP, type RuleEntry, type Ruleset } from "../model/ruleset.ts";

/** A rule in its place, with its counters. */
export interface PlacedRule {
	readonly rule: Rule;
	readonly ordinal: number;
	readonly counters: Counters;
}

/** A chain of one family's table. */
export interface ChainPlace {
	readonly family: Family;
	readonly table: Table;
	readonly chain: Chain;
}

/** `at` is a rule number, counted from 1. */
export type ChainEdit =
	| { readonly kind: "append"; readonly rules: readonly Rule[]; readonly counters?: Counters }
	/** Inserts several rules one after the other, each at `at`, so that the last one ends up first, as in iptables. */
	| {
			readonly kind: "insert";
			readonly at: number;
			readonly rules: readonly Rule[];
			readonly counters?: Counters;
	  }
	| { readonly kind: "replace"; readonly at: number; readonly rule: Rule; readonly counters?: Counters }
	| { readonly kind: "delete-number"; readonly at: number }
	/** For each rule, deletes the first equal one. */
	| { readonly kind: "delete-rule"; readonly rules: readonly Rule[] }
	/** Changes nothing; fails if one of the rules does not exist. */
	| { readonly kind: "check"; readonly rules: readonly Rule[] }
	| { readonly kind: "flush" }
	/** Zeroes the counters of one rule or of the whole chain. */
	| { readonly kind: "zero"; readonly at?: number };

interface Working {
	readonly rule: Rule;
	readonly ordinal: number;
	/** As observed, or as set. */
	readonly counters: Counters;
	/** Observed at this ordinal without a new value, so its counters simply go on. */
	readonly untouched: boolean;
}

/** Holds the rules of a host during a series of edits. */
export class RulesetEditor {
	readonly #chains = new Map<string, { readonly place: ChainPlace; rules: Working[] }>();

	constructor(observed: readonly PlacedRule[]) {
		for (const family of ["ipv4", "ipv6"] as const) {
			for (const table of ["raw", "mangle"] as const) {
				for (const chain of CHAINS[table]) {
					const place = { family, table, chain };
					this.#chains.set(keyOf(place), { place, rules: [] });
				}
			}
		}
		const sorted = [...observed].sort((a, b) => a.ordinal - b.ordinal);
		for (const { rule, ordinal, counters } of sorted) {
			this.#rulesOf(rule).push({ rule, ordinal, counters, untouched: true });
		}
	}

	/** The current rules of a chain, in order. */
	chain(place: ChainPlace): readonly PlacedRule[] {
		return this.#rulesOf(place);
	}

	/**
	 * Makes one edit. If the rule or number that it names does not exist, throws L3dsrError (RULE_NOT_FOUND, in
	 * iptables' words) at `position` and changes nothing.
	 */
	apply(place: ChainPlace, edit: ChainEdit, position?: Position): void {
		const rules = this.#rulesOf(place);
		switch (edit.kind) {
			case "append":
				for (const rule of edit.rules) insert(rules, rules.length, rule, edit.counters);
				return;
			case "insert":
				if (edit.at > rules.length + 1) throw notFound("Index of insertion too big.", rules.length, position);
				for (const rule of edit.rules) insert(rules, edit.at - 1, rule, edit.counters);
				return;
			case "replace": {
				const old = rules[edit.at - 1];
				if (old === undefined) throw notFound("Index of replacement too big.", rules.length, position);
				const counters = edit.counters ?? ZERO_COUNTERS;
				rules[edit.at - 1] = { rule: edit.rule, ordinal: old.ordinal, counters, untouched: false };
				return;
			}
			case "delete-number":
				if (edit.at > rules.length) throw notFound("Index of deletion too big.", rules.length, position);
				rules.splice(edit.at - 1, 1);
				return;
			case "delete-rule": {
				const left = [...rules];
				for (const rule of edit.rules) {
					const index = left.findIndex((one) => sameRule(one.rule, rule));
					if (index < 0) throw noSuchRule(position);
					left.splice(index, 1);
				}
				rules.splice(0, rules.length, ...left);
				return;
			}
			case "check":
				for (const rule of edit.rules) {
					if (!rules.some((one) => sameRule(one.rule, rule))) throw noSuchRule(position);
				}
				return;
			case "flush":
				rules.length = 0;
				return;
			case "zero":
				if (edit.at !== undefined && edit.at > rules.length) {
					throw notFound("Index of counter too big.", rules.length, position);
				}
				for (const [index, one] of rules.entries()) {
					if (edit.at !== undefined && edit.at !== index + 1) continue;
					rules[index] = { ...one, counters: ZERO_COUNTERS, untouched: false };
				}
		}
	}

	/** The ruleset that the host should have now. */
	ruleset(): Ruleset {
		const entries: RuleEntry[] = [];
		for (const { rules } of this.#chains.values()) {
			for (const { rule, ordinal, counters, untouched } of rules) {
				entries.push(untouched ? { rule, ordinal } : { rule, ordinal, counters });
			}
		}
		return { entries };
	}

	#rulesOf(place: ChainPlace): Working[] {
		const found = this.#chains.get(keyOf(place));
		if (found === undefined) throw new RangeError(`table ${place.table} has no chain ${place.chain}`);
		return found.rules;
	}
}

function keyOf({ family, table, chain }: ChainPlace): string {
	return `${family} ${table} ${chain}`;
}

/**
 * Inserts a rule at an index, with an ordinal between its neighbours'. If there is no room, the whole chain gets new
 * ordinals; counters move with their rules, but packets in between are not counted.
 */
function insert(rules: Working[], index: number, rule: Rule, counters: Counters = ZERO_COUNTERS): void {
	const before = rules[index - 1]?.ordinal ?? 0;
	const after = rules[index]?.ordinal;
	const ordinal = after === undefined ? before + ORDINAL_STEP : Math.floor((before + after) / 2);
	rules.splice(index, 0, { rule, ordinal, counters, untouched: false });
	const roomy = ordinal > before && (after === undefined || ordinal < after) && Number.isSafeInteger(ordinal);
	if (roomy || (index === 0 && after === undefined)) return;
	for (const [position, one] of rules.entries()) {
		rules[position] = { ...one, ordinal: (position + 1) * ORDINAL_STEP, untouched: false };
	}
}

function notFound(message: string, length: number, position: Position | undefined): L3dsrError {
	const hint =
		length === 0 ? "the chain has no rules" : `the chain has ${length} rule${length === 1 ? "" : "s"}`;
	return new L3dsrError({ code: "RULE_NOT_FOUND", message, hint, ...(position && { position }) });
}

function noSuchRule(position: Position | undefined): L3dsrError {
	const message = "Bad rule (does a matching rule exist in that chain?).";
	return new L3dsrError({ code: "RULE_NOT_FOUND", message, ...(position && { position }) });
}
