/**
 * What one program was compiled from: the rules of one interface, each with its counter slot.
 *
 * The program carries it as JSON text in its read-only map, so that the kernel alone can tell what runs. A schema
 * version prevents misreading what another release wrote.
 */
import { type Prefix, parseAddress, prefixOf, prefixText } from "@l3dsr/packet";
import { L3dsrError } from "../../../errors.ts";
import { isChainOf, type Rule, type Table } from "../../../model/rule.ts";
import { formatRuleSpec } from "../../../syntax/iptables/rule-format.ts";
import { parseRuleSpec } from "../../../syntax/iptables/rule-parser.ts";

/** Raise it if the text or the maps' layout changes its meaning. */
export const SCHEMA_VERSION = 1;

/** Slots below this one count malformed packets (`MALFORMED_SLOT`), the others count rules. */
export const FIRST_RULE_SLOT = 8;

/** A rule and the slot of the counter maps that counts it. */
export interface SlottedRule {
	readonly rule: Rule;
	readonly ordinal: number;
	readonly slot: number;
}

export interface InterfaceRules {
	/** In the order in which they run. */
	readonly rules: readonly SlottedRule[];
	/** The host's own addresses at compile time (routes of type "local"); empty unless a rule has `addrtype`. */
	readonly local: readonly Prefix[];
}

interface StoredRule {
	readonly slot: number;
	readonly ordinal: number;
	readonly family: Rule["family"];
	readonly table: Table;
	readonly chain: string;
	readonly spec: string;
}

interface StoredRules {
	readonly schema: number;
	readonly local: readonly string[];
	readonly rules: readonly StoredRule[];
}

export function encodeInterfaceRules(rules: InterfaceRules): Uint8Array {
	const stored: StoredRules = {
		schema: SCHEMA_VERSION,
		local: rules.local.map(prefixText),
		rules: rules.rules.map(({ rule, ordinal, slot }): StoredRule => {
			const { family, table, chain } = rule;
			return { slot, ordinal, family, table, chain, spec: formatRuleSpec(rule) };
		}),
	};
	return new TextEncoder().encode(JSON.stringify(stored));
}

/**
 * Throws L3dsrError (DATAPATH_FOREIGN) if the text has another schema or is not ours. `place` names the program in
 * the message: `program l3dsr_tc on eth0`.
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
	let stored: ReturnType<typeof fieldsOf<StoredRules>>;
	try {
		stored = fieldsOf<StoredRules>(JSON.parse(new TextDecoder().decode(text)));
	} catch (error) {
		throw refuse("its map holds no JSON", error);
	}
	const { schema, local, rules } = stored ?? {};
	if (typeof schema !== "number") throw refuse("its map holds no ruleset");
	if (schema !== SCHEMA_VERSION) {
		throw refuse(`it was written with schema ${schema}, this release reads ${SCHEMA_VERSION}`);
	}
	if (!Array.isArray(local) || !Array.isArray(rules)) throw refuse("its ruleset is incomplete");
	return {
		local: local.map((item) => {
			const [text = "", length = ""] = typeof item === "string" ? item.split("/") : [];
			const address = parseAddress(text);
			if (address === undefined || !/^\d{1,3}$/.test(length)) {
				throw refuse(`it names ${JSON.stringify(item)} as an address`);
			}
			return prefixOf(address, Number(length));
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

/** The fields of a JSON object, as unknown values; undefined if the value is not an object. */
function fieldsOf<T>(value: unknown): { readonly [K in keyof T]?: unknown } | undefined {
	return typeof value === "object" && value !== null && !Array.isArray(value) ? value : undefined;
}

function isStoredRule(value: unknown): value is StoredRule {
	const fields = fieldsOf<StoredRule>(value);
	return (
		fields !== undefined &&
		Number.isSafeInteger(fields.slot) &&
		Number.isSafeInteger(fields.ordinal) &&
		(fields.family === "ipv4" || fields.family === "ipv6") &&
		(fields.table === "raw" || fields.table === "mangle") &&
		typeof fields.chain === "string" &&
		typeof fields.spec === "string"
	);
}
