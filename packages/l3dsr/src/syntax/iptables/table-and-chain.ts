/** Reads the names of tables and chains. */
import { CHAINS, type Chain, isChainOf, type Table } from "../../model/rule.ts";
import type { Problems } from "../problems.ts";
import { didYouMean } from "../suggest.ts";
import type { Word } from "./words.ts";

/**
 * The table with that name. Faults are reported as RULE_TABLE, which has its own exit code, or, in a file, like any
 * other value.
 */
export function parseTable(word: Word, problems: Problems, within: "command" | "file"): Table {
	if (word.text === "raw" || word.text === "mangle") return word.text;
	const real = ["filter", "nat", "security"].includes(word.text);
	const hint = real
		? "rules here stand in raw (the default) or mangle; use iptables for the others"
		: (didYouMean(word.text, Object.keys(CHAINS)) ?? "there are raw (the default) and mangle");
	const message = real ? `table '${word.text}' is not supported` : `table '${word.text}' does not exist`;
	const inFile = real ? "RULE_UNSUPPORTED" : "RULE_BAD_VALUE";
	problems.add(within === "file" ? inFile : "RULE_TABLE", message, word.position, hint);
	return "raw";
}

/** The chain with that name; reports faults. */
export function parseChain(
	word: Word,
	table: Table,
	problems: Problems,
	message = "No chain/target/match by that name.",
): Chain | undefined {
	if (isChainOf(table, word.text)) return word.text;
	const chains = CHAINS[table].join(", ");
	const other = table === "raw" && isChainOf("mangle", word.text) ? "; -t mangle has that chain" : "";
	const near = didYouMean(word.text, CHAINS[table]);
	const hint =
		other === "" ? (near ?? `table ${table} has ${chains}`) : `table ${table} has ${chains}${other}`;
	problems.add("RULE_NOT_FOUND", message, word.position, hint);
	return undefined;
}
