/**
 * What one program was compiled from: the rules of one interface, each with its counter slot.
 *
 * It travels with the program, as JSON text in its read-only map, so that the kernel alone can tell what
 * runs. A schema version guards against reading what another release wrote.
 */
import { L3dsrError } from "../../errors.ts";
import { type Address, parseAddress } from "../../model/address.ts";
import { isChainOf, type Rule, type Table } from "../../model/rule.ts";
import { formatRuleSpec, parseRuleSpec } from "../../syntax/iptables/rule-spec.ts";

/** Raised whenever the text or the layout of the maps changes its meaning. */
export const SCHEMA_VERSION = 1;

/** Slots below this one count malformed packets (`MALFORMED_SLOT`), the rest count rules. */
export const FIRST_RULE_SLOT = 8;

/** Slot of each reason why a rewritten packet's transport header was out of reach. */
export const MALFORMED_SLOT = { "transport-cut": 0, "extension-chain-cut": 1, "extension-chain-long": 2 } as const;

/** A rule in its place, and the slot of the counter maps that counts it. */
export interface SlottedRule {
	readonly rule: Rule;
	readonly ordinal: number;
	readonly slot: number;
}

export interface InterfaceRules {
	/** In the order in which they run. */
	readonly rules: readonly SlottedRule[];
	/** The host's own addresses at compile time; only present where a rule asks for them (`addrtype`). */
	readonly local: readonly Address[];
}

interface StoredRule {
	readonly slot: number;
	readonly ordinal: number;
	readonly family: Rule["family"];
	readonly table: Table;
	readonly chain: string;
	readonly spec: string;
}

export function encodeInterfaceRules(rules: InterfaceRules): Uint8Array {
	const stored = {
		schema: SCHEMA_VERSION,
		local: rules.local.map(({ text }) => text),
		rules: rules.rules.map(({ rule, ordinal, slot }): StoredRule => {
			const { family, table, chain } = rule;
			return { slot, ordinal, family, table, chain, spec: formatRuleSpec(rule) };
		}),
	};
	return new TextEncoder().encode(JSON.stringify(stored));
}

/**
 * Throws L3dsrError (DATAPATH_FOREIGN) when the text is of another schema or not ours. `place` names the
 * program for the message: `program l3dsr_tc on eth0`.
 */
export function decodeInterfaceRules(text: Uint8Array, place: string): InterfaceRules {
	const refuse = (why: string, cause?: unknown): L3dsrError =>
		new L3dsrError(
			{
				code: "DATAPATH_FOREIGN",
				message: `read the rules of ${place}: ${why}`,
				hint: "use the l3dsr that attached it, or take it down with `l3dsr down`",
			},
			{ cause },
		);
	let stored: unknown;
	try {
		stored = JSON.parse(new TextDecoder().decode(text));
	} catch (error) {
		throw refuse("its map holds no JSON", error);
	}
	if (!isRecord(stored) || typeof stored["schema"] !== "number") throw refuse("its map holds no ruleset");
	if (stored["schema"] !== SCHEMA_VERSION) {
		throw refuse(`it was written with schema ${stored["schema"]}, this release reads ${SCHEMA_VERSION}`);
	}
	const { local, rules } = stored;
	if (!Array.isArray(local) || !Array.isArray(rules)) throw refuse("its ruleset is incomplete");
	return {
		local: local.map((item) => {
			const address = typeof item === "string" ? parseAddress(item) : undefined;
			if (address === undefined) throw refuse(`it names ${JSON.stringify(item)} as an address`);
			return address;
		}),
		rules: rules.map((item: unknown) => {
			if (!isStoredRule(item)) throw refuse(`it holds the rule ${JSON.stringify(item)}`);
			const { slot, ordinal, family, table, chain } = item;
			if (!isChainOf(table, chain)) throw refuse(`table ${table} has no chain ${chain}`);
			try {
				return { slot, ordinal, rule: parseRuleSpec(item.spec, { family, table, chain, source: place }) };
			} catch (error) {
				throw refuse(`it holds the rule ${item.spec}`, error);
			}
		}),
	};
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isStoredRule(value: unknown): value is StoredRule {
	return (
		isRecord(value) &&
		Number.isSafeInteger(value["slot"]) &&
		Number.isSafeInteger(value["ordinal"]) &&
		(value["family"] === "ipv4" || value["family"] === "ipv6") &&
		(value["table"] === "raw" || value["table"] === "mangle") &&
		typeof value["chain"] === "string" &&
		typeof value["spec"] === "string"
	);
}
