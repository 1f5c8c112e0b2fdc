/** Prints rules for -S and -save. `parseRuleSpec` reads the text back as the same rule. */
import type { Rule } from "../../model/rule.ts";
import { saveHeader } from "./header.ts";
import { saveMatch } from "./matches.ts";
import { saveTarget, TARGET_NAME } from "./target.ts";

/**
 * The canonical text of a rule after `-A CHAIN `, such as `-m dscp --dscp 0x01 -j DADDR --set-daddr 72.30.38.140`.
 * The kernel stores it: a change of the format makes old rules look foreign.
 */
export function formatRuleSpec(rule: Rule): string {
	const matches = rule.matches.map((match) => ` ${saveMatch(match, rule.family)}`).join("");
	return `${saveHeader(rule.header)}${matches} -j ${TARGET_NAME} ${saveTarget(rule.target)}`.slice(1);
}
