/** The syntax of one kind of match; src/syntax/iptables/matches.ts lists all kinds. */
import type { Family } from "@l3dsr/packet";
import type { Match, NumberRange, RuleHeader } from "../../model/rule.ts";
import { parseStrtoul } from "../numbers.ts";
import type { Problems } from "../problems.ts";
import type { Services } from "./names.ts";
import { type Given, type OptionSpec, optionName } from "./option.ts";
import type { Word } from "./words.ts";

export type MatchKind = Match["kind"];
export type MatchOf<K extends MatchKind> = Extract<Match, { kind: K }>;

/** What a match's parser may look at besides its own options. */
export interface MatchContext {
	/** As in `-m MODULE`. */
	readonly module: string;
	readonly family: Family;
	/** Where the module is named. */
	readonly at: Word;
	readonly header: RuleHeader;
	readonly services: Services;
	readonly problems: Problems;
}

/** How to print without -n. */
export interface ListNames {
	readonly services: Services;
	/** The name of the rule's protocol in /etc/services. */
	readonly protocol: string | undefined;
}

export interface MatchSyntax<K extends MatchKind> {
	/** Module names (`-m NAME`) and the families that have them. */
	readonly modules: Readonly<Record<string, readonly Family[]>>;
	readonly summary: string;
	/** Options by module. */
	options(module: string): readonly OptionSpec[];
	/** The message if a required option is missing; such a match has exactly one option. */
	readonly missing?: string;
	/** Undefined if there is a fault, which has then been reported. */
	parse(given: readonly Given[], context: MatchContext): MatchOf<K> | undefined;
	/** `-m dscp --dscp 0x01`, as in -S. */
	save(match: MatchOf<K>, family: Family): string;
	/** `DSCP match 0x01`, as in -L; `names` undefined with -n. */
	list(match: MatchOf<K>, names: ListNames | undefined, family: Family): string;
}

export const BOTH_FAMILIES: readonly Family[] = ["ipv4", "ipv6"];

export function bang(match: { readonly negated: boolean }): string {
	return match.negated ? "! " : "";
}

/** `0x0a`: with at least `digits` digits. */
export function hex(value: number, digits: number): string {
	return `0x${value.toString(16).padStart(digits, "0")}`;
}

/** The single option of a match that has exactly one, with its argument; reports faults. */
export function only(
	given: readonly Given[],
	context: MatchContext,
): (Given & { readonly value: Word }) | undefined {
	const [first, second] = given;
	if (first?.value === undefined) return undefined;
	if (second !== undefined) {
		const message =
			first.option === second.option
				? `${context.module}: option "${optionName(first.option)}" can only be used once.`
				: `${context.module}: option "${optionName(first.option)}" cannot be used together with "${optionName(second.option)}".`;
		context.problems.add(
			"RULE_CONFLICT",
			message,
			second.at.position,
			`a second -m ${context.module} matches twice`,
		);
		return undefined;
	}
	return { ...first, value: first.value };
}

/** A number from `least` to `most`; anything else is reported in iptables' words. */
export function numberValue(
	given: Given & { readonly value: Word },
	context: MatchContext,
	most: number,
	hint?: (text: string) => string | undefined,
): number | undefined {
	const number = parseStrtoul(given.value.text);
	if (number !== undefined && number <= most) return number;
	return context.problems.add(
		"RULE_BAD_VALUE",
		`${context.module}: bad value for option "${optionName(given.option)}", or out of range (0-${most}).`,
		given.value.position,
		hint?.(given.value.text),
	);
}

/** `value` or `value/mask`; undefined (not reported) if it is neither. */
export function valueAndMask(
	text: string,
	most: number,
): { readonly value: number; readonly mask: number } | undefined {
	const [first = "", second, ...more] = text.split("/");
	const value = parseStrtoul(first);
	const mask = second === undefined ? most : parseStrtoul(second);
	if (value === undefined || mask === undefined || more.length > 0) return undefined;
	return value <= most && mask <= most ? { value, mask } : undefined;
}

/** `a`, `a:b`, `a:`, `:b`; `parse` reads each end; undefined (not reported) if it is none of these. */
export function parseRange(
	text: string,
	most: number,
	parse: (end: string) => number | undefined,
): NumberRange | undefined {
	const colon = text.indexOf(":");
	const low = colon < 0 ? text : text.slice(0, colon);
	const high = colon < 0 ? text : text.slice(colon + 1);
	const first = colon >= 0 && low === "" ? 0 : parse(low);
	const last = colon >= 0 && high === "" ? most : parse(high);
	return first === undefined || last === undefined ? undefined : { first, last };
}

export function rangeText(range: NumberRange, end: (value: number) => string = String): string {
	return range.first === range.last ? end(range.first) : `${end(range.first)}:${end(range.last)}`;
}
