/** The few options of -save and -restore, read by the same scanner as those of rules. */
import type { Family } from "@l3dsr/packet";
import {
	type Given,
	type OptionSpec,
	offerOf,
	optionName,
	scanOptions,
} from "../../syntax/iptables/option.ts";
import type { Word } from "../../syntax/iptables/words.ts";
import type { Problems } from "../../syntax/problems.ts";

export interface ReadOptions<Name extends string> {
	readonly given: ReadonlyMap<Name, Given>;
	/** Words that are not options: file names. */
	readonly operands: readonly Word[];
}

/** Reads options of `table` and reports errors. An optional argument may be the next word if it is a number. */
export function readOptions<Name extends string>(
	words: readonly Word[],
	table: Readonly<Record<Name, OptionSpec>>,
	problems: Problems,
): ReadOptions<Name> {
	// The type of Object.entries loses the record's keys.
	const entries = Object.entries(table) as [Name, OptionSpec][];
	const offers = [offerOf(entries)];
	const given = new Map<Name, Given>();
	const operands: Word[] = [];
	scanOptions<Name>(
		words,
		{
			offers: () => offers,
			accept(one, owner, rest) {
				const value = one.value ?? (one.option.optional ? rest.takeBare(/^\d+$/) : undefined);
				given.set(owner, { ...one, value });
			},
			load: () => false,
			explain: () => false,
			operand: (word) => operands.push(word),
		},
		problems,
	);
	return { given, operands };
}

/** `-6` means the rules of the other command. */
export function requireSameFamily(
	given: ReadonlyMap<string, Given>,
	family: Family,
	problems: Problems,
): void {
	const other = given.get(family === "ipv4" ? "ipv6" : "ipv4");
	if (other === undefined) return;
	const message = `${optionName(other.option)} is not valid for this command`;
	const command = family === "ipv4" ? "ip6tables-daddr" : "iptables-daddr";
	problems.add("RULE_CONFLICT", message, other.at.position, `use ${command} and its -save and -restore`);
}
