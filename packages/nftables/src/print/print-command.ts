/** Prints commands and whole tables in nft's syntax, which `nft -f` reads. */

import type { Command } from "../command.ts";
import type { SetElement } from "../element.ts";
import { printable } from "../printable.ts";
import type { BaseChain, ChainSpec, NamedObject, RuleSpec, TableSpec } from "../ruleset.ts";
import type { FieldPlace, SetSpec } from "../set.ts";
import { elementText, timeText } from "./element.ts";
import { wordless } from "./held.ts";
import { printRule } from "./print-rule.ts";

/** One line of a script for `nft -f`. */
export function printCommand(command: Command): string {
	const { family, name } = command.table;
	const table = `${family} ${printable(name)}`;
	switch (command.do) {
		case "add table": {
			const parts = tableParts(command.table);
			return `add table ${table}${parts.length === 0 ? "" : ` { ${parts.join(" ")} }`}`;
		}
		case "delete table":
			return `delete table ${table}`;
		case "add chain": {
			const parts = chainParts(command.chain);
			return `add chain ${table} ${printable(command.chain.name)}${parts.length === 0 ? "" : ` { ${parts.join(" ")} }`}`;
		}
		case "delete chain":
		case "flush chain":
			return `${command.do} ${table} ${printable(command.chain)}`;
		case "add rule": {
			const { before, after, chain, rule } = command;
			const verb = before === undefined ? "add rule" : "insert rule";
			const handle = before ?? after;
			const at = handle === undefined ? "" : ` handle ${handle}`;
			return `${verb} ${table} ${printable(chain)}${at} ${printRule(rule, family)}`;
		}
		case "delete rule":
			return `delete rule ${table} ${printable(command.chain)} handle ${command.handle}`;
		case "add set":
			return `add ${kindOf(command.set)} ${table} ${printable(command.set.name)} { ${setParts(command.set).join(" ")} }`;
		case "delete set":
			return `delete set ${table} ${printable(command.set)}`;
		case "add elements":
		case "delete elements": {
			const { set, elements } = command;
			const own = command.do === "add elements" ? elements : elements.map(keyOnly);
			const verb = command.do === "add elements" ? "add element" : "delete element";
			return `${verb} ${table} ${printable(set.name)} { ${own.map((one) => elementOf(one, set)).join(", ")} }`;
		}
		case "add object":
			return `add ${command.object.type} ${table} ${printable(command.object.name)}${commentBlock(command.object)}`;
		case "delete object":
			return `delete ${command.object.type} ${table} ${printable(command.object.name)}`;
	}
}

/** A table that was read, or that will be created. */
export interface PrintableTable extends TableSpec {
	readonly chains: readonly ChainSpec[];
	readonly rules: readonly (RuleSpec & { readonly chain: string })[];
	readonly sets?: readonly (SetSpec & { readonly elements: readonly SetElement[] })[];
	readonly objects?: readonly NamedObject[];
	readonly flowtables?: readonly string[];
}

/** A table as `nft list table` prints it, in the syntax that `nft -f` reads. */
export function printTable(contents: PrintableTable): string {
	const lines: string[] = [`table ${contents.family} ${printable(contents.name)} {`];
	for (const part of tableParts(contents)) lines.push(`\t${part}`);
	for (const object of contents.objects ?? []) lines.push(...objectLines(object));
	for (const name of contents.flowtables ?? []) lines.push(`\t${wordless(`flowtable ${printable(name)}`)}`);
	for (const set of contents.sets ?? []) lines.push(...setLines(set));
	for (const chain of contents.chains) {
		lines.push(`\tchain ${printable(chain.name)} {`, ...chainParts(chain).map((part) => `\t\t${part}`));
		for (const rule of contents.rules) {
			if (rule.chain === chain.name) lines.push(`\t\t${printRule(rule, contents.family)}`);
		}
		lines.push("\t}");
	}
	return `${[...lines, "}"].join("\n")}\n`;
}

function tableParts({ flags = [], comment }: TableSpec): string[] {
	return [
		...(flags.length === 0 ? [] : [`flags ${flags.join(", ")};`]),
		...(comment === undefined ? [] : [`comment "${printable(comment)}";`]),
	];
}

function chainParts({ base, comment }: ChainSpec): string[] {
	return [
		...(base === undefined ? [] : [baseText(base)]),
		...(comment === undefined ? [] : [`comment "${printable(comment)}";`]),
	];
}

function baseText({ type, hook, priority, policy, devices = [], offload }: BaseChain): string {
	const on = devices.length === 0 ? "" : ` devices = { ${devices.map(printable).join(", ")} }`;
	return `type ${type} hook ${hook}${on} priority ${priority};${offload === true ? " flags offload;" : ""} policy ${policy};`;
}

function kindOf({ data, object }: Pick<SetSpec, "data" | "object">): "set" | "map" {
	return data === undefined && object === undefined ? "set" : "map";
}

function setParts(set: SetSpec & { readonly more?: true }): string[] {
	const { flags = [], size, timeout, gcInterval, policy, autoMerge, counters, comment, more } = set;
	const shown = flags.filter((one) => !HIDDEN_FLAGS.has(one));
	return [
		typeText(set),
		...(size === undefined ? [] : [`size ${size};`]),
		...(shown.length === 0 ? [] : [`flags ${shown.join(", ")};`]),
		...(timeout === undefined ? [] : [`timeout ${timeText(timeout)};`]),
		...(gcInterval === undefined ? [] : [`gc-interval ${timeText(BigInt(gcInterval))};`]),
		...(policy === undefined ? [] : [`policy ${policy};`]),
		...(autoMerge === true ? ["auto-merge;"] : []),
		...(counters === true ? ["counter;"] : []),
		...(more === true ? [wordless("more")] : []),
		...(comment === undefined ? [] : [`comment "${printable(comment)}";`]),
	];
}

/** Flags that follow from the rest of the definition. */
const HIDDEN_FLAGS: ReadonlySet<string> = new Set(["anonymous", "object", "concatenated", "expression"]);

function typeText({ key, data, object }: SetSpec): string {
	if (object !== undefined) return `type ${key.type.name} : ${object};`;
	const value = data === undefined || data === "verdict" ? undefined : data;
	if (key.typeof !== undefined && (data === undefined || value?.typeof !== undefined)) {
		return `typeof ${placeText(key.typeof)}${value?.typeof === undefined ? "" : ` : ${placeText(value.typeof)}`};`;
	}
	return `type ${key.type.name}${data === undefined ? "" : ` : ${value?.type.name ?? "verdict"}`};`;
}

const BASES = { link: "ll", network: "nh", transport: "th", inner: "ih", tunnel: "th" } as const;

function placeText({ base, offset, length, name }: FieldPlace): string {
	return name ?? `@${BASES[base]},${offset},${length}`;
}

function setLines(set: SetSpec & { readonly elements: readonly SetElement[] }): string[] {
	const elements = set.elements.map((one) => elementOf(one, set)).join(", ");
	return [
		`\t${kindOf(set)} ${printable(set.name)} {`,
		...setParts(set).map((part) => `\t\t${part}`),
		...(elements === "" ? [] : [`\t\telements = { ${elements} }`]),
		"\t}",
	];
}

function elementOf(element: SetElement, { key, data }: Pick<SetSpec, "key" | "data">): string {
	return elementText(element, key.type, data === undefined || data === "verdict" ? undefined : data.type);
}

function keyOnly({ key, last }: SetElement): SetElement {
	return { ...(key === undefined ? {} : { key }), ...(last === undefined ? {} : { last }) };
}

function commentBlock({ comment }: { readonly comment?: string }): string {
	return comment === undefined ? "" : ` { comment "${printable(comment)}"; }`;
}

function objectLines({ type, name, counter, comment }: NamedObject): string[] {
	if (type !== "counter") return [`\t${wordless(`${type} ${printable(name)}`)}`];
	const numbers = counter === undefined ? "" : `packets ${counter.packets} bytes ${counter.bytes}`;
	return [
		`\t${type} ${printable(name)} {`,
		...(numbers === "" ? [] : [`\t\t${numbers}`]),
		...(comment === undefined ? [] : [`\t\tcomment "${printable(comment)}"`]),
		"\t}",
	];
}
