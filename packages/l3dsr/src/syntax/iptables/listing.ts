/**
 * Prints chains for -L, -S and -save, with exactly the spacing of iptables 1.8.9; with -n, protocols have names, as
 * in every version except 1.8.9 and 1.8.10.
 */
import { type Address, addressBits, type Family, type Prefix, prefixText } from "@l3dsr/packet";
import { CHAINS, type Chain, type Counters, type Rule, type Table } from "../../model/rule.ts";
import type { ListStyle } from "./command-line.ts";
import { interfaceText } from "./header.ts";
import type { ListNames } from "./match.ts";
import { listMatch } from "./matches.ts";
import { portModuleOf } from "./matches-ports.ts";
import { builtInProtocolName, protocolName, type Services } from "./names.ts";
import { formatRuleSpec } from "./rule-format.ts";
import { listTarget, saveTarget, TARGET_NAME } from "./target.ts";

export interface ListedRule {
	readonly rule: Rule;
	readonly counters: Counters;
}

/** Names to print without -n. */
export interface Names {
	readonly services: Services;
	/** The name of a host's address, from reverse lookup. */
	host(address: Address): string | undefined;
}

/** Policies have no counters: packets that no DADDR rule rewrites are not counted. */
const POLICY = "ACCEPT";

/** `-L`: one chain with its heading; with `at` only that rule's line, like iptables. Ends with a line break. */
export function listChain(
	chain: Chain,
	rules: readonly ListedRule[],
	style: ListStyle,
	names: Names,
	at?: number,
): string {
	const lines: string[] = [];
	if (at === undefined) {
		lines.push(`Chain ${chain} (policy ${POLICY}${style.verbose ? " 0 packets, 0 bytes" : ""})`);
		lines.push(heading(style));
	}
	for (const [index, { rule, counters }] of rules.entries()) {
		if (at === undefined || at === index + 1) lines.push(listRule(rule, counters, index + 1, style, names));
	}
	return lines.map((line) => `${line}\n`).join("");
}

function heading(style: ListStyle): string {
	const counters = style.exact ? "    pkts      bytes " : " pkts bytes ";
	return `${style.lineNumbers ? "num  " : ""}${style.verbose ? counters : ""}target     prot opt ${
		style.verbose ? "in     out     " : ""
	}source               destination         `;
}

function listRule(rule: Rule, counters: Counters, number: number, style: ListStyle, names: Names): string {
	const { header, family } = rule;
	const count = (value: bigint): string =>
		style.exact ? `${value}`.padStart(8) : roundCounter(value).padStart(5);
	const counts = style.verbose ? `${count(counters.packets)} ${count(counters.bytes)} ` : "";
	const protocol = header.protocol;
	const nameOf = style.numeric ? builtInProtocolName : protocolName;
	const protocolText = protocol === undefined ? "all" : nameOf(protocol.number);
	const anyInterface = style.numeric ? "*" : "any";
	const side = (match: Rule["header"]["inInterface"]): string =>
		(match === undefined ? anyInterface : not(match) + interfaceText(match)).padEnd(6);
	const interfaces = style.verbose ? ` ${side(header.inInterface)} ${side(header.outInterface)} ` : "";
	const address = (match: Rule["header"]["source"]): string =>
		`${sign(match)}${addressText(match?.prefix, family, style.numeric, names).padEnd(19)} `;
	return [
		style.lineNumbers ? `${String(number).padEnd(4)} ` : "",
		counts,
		`${TARGET_NAME.padEnd(9)} ${sign(protocol)}${protocolText.padEnd(4)} `,
		`${options(rule)} `,
		interfaces,
		address(header.source),
		address(header.destination),
		...extras(rule, style.numeric ? undefined : names.services),
	].join("");
}

/** The line that -v prints for a rule that a command adds or removes. */
export function describeRule(rule: Rule): string {
	const { header, family } = rule;
	const { protocol, inInterface, outInterface, source, destination } = header;
	const side = (match: Rule["header"]["inInterface"]): string =>
		match === undefined ? "*" : not(match) + interfaceText(match);
	const address = (match: Rule["header"]["source"]): string => addressText(match?.prefix, family, true);
	return [
		`${TARGET_NAME} ${sign(protocol)}${protocol ? builtInProtocolName(protocol.number) : "all"} opt ${options(rule)}`,
		` in ${side(inInterface)} out ${side(outInterface)}`,
		` ${sign(source)}${address(source)} ${sign(destination)}-> ${address(destination)}  `,
		...extras(rule, undefined),
	].join("");
}

/** `!` or nothing before a value; `!` or a blank if it has its own column. */
function not(match: { readonly negated: boolean }): string {
	return match.negated ? "!" : "";
}
function sign(match: { readonly negated: boolean } | undefined): string {
	return match?.negated === true ? "!" : " ";
}

function options({ header }: Rule): string {
	if (header.fragment === undefined) return "--";
	return header.fragment.negated ? "!f" : "-f";
}

/** The text of the matches and the target, each preceded by a blank. */
function extras(rule: Rule, services: Services | undefined): string[] {
	const protocol = rule.header.protocol?.number;
	const names: ListNames | undefined = services && { services, protocol: portModuleOf(protocol) };
	return [...rule.matches.map((match) => listMatch(match, names, rule.family)), listTarget(rule.target)].map(
		(text) => ` ${text}`,
	);
}

function addressText(prefix: Prefix | undefined, family: Family, numeric: boolean, names?: Names): string {
	if (prefix === undefined) return numeric ? (family === "ipv4" ? "0.0.0.0/0" : "::/0") : "anywhere";
	const { address, length } = prefix;
	if (length < addressBits(family)) return prefixText(prefix);
	return (numeric ? undefined : names?.host(address)) ?? address.text;
}

/** Up to five digits, else rounded to thousands with K, M, G, T (xtables_print_num). */
function roundCounter(value: bigint): string {
	if (value <= 99999n) return `${value}`;
	let number = value;
	for (const unit of ["K", "M", "G"]) {
		number = (number + 500n) / 1000n;
		if (number <= 9999n) return `${number}${unit}`;
	}
	return `${(number + 500n) / 1000n}T`;
}

/** `-P CHAIN ACCEPT` of -S. */
export function policyLine(chain: Chain, verbose: boolean): string {
	return `-P ${chain} ${POLICY}${verbose ? " -c 0 0" : ""}\n`;
}

/** One line of -S; -v prints the counters before the target, like iptables. */
export function ruleLine({ rule, counters }: ListedRule, verbose: boolean): string {
	const line = `-A ${rule.chain} ${formatRuleSpec(rule)}`;
	if (!verbose) return `${line}\n`;
	const target = `-j ${TARGET_NAME} ${saveTarget(rule.target)}`;
	const matches = line.slice(0, -target.length);
	return `${matches}-c ${counters.packets} ${counters.bytes} ${target}\n`;
}

/** One table of a saved file; `-restore` reads it back. */
export function saveTable(
	table: Table,
	rulesOf: (chain: Chain) => readonly ListedRule[],
	withCounters: boolean,
): string {
	const chains = CHAINS[table];
	const lines = [`*${table}`, ...chains.map((chain) => `:${chain} ${POLICY} [0:0]`)];
	for (const chain of chains) {
		for (const { rule, counters } of rulesOf(chain)) {
			const counted = withCounters ? `[${counters.packets}:${counters.bytes}] ` : "";
			lines.push(`${counted}-A ${chain} ${formatRuleSpec(rule)}`);
		}
	}
	return [...lines, "COMMIT"].map((line) => `${line}\n`).join("");
}

/** The addresses for which iptables looks up names: those of single hosts. */
export function namedAddresses(rules: readonly { readonly rule: Rule }[]): Address[] {
	const found = new Map<string, Address>();
	for (const { rule } of rules) {
		for (const match of [rule.header.source, rule.header.destination]) {
			if (match === undefined || match.prefix.length < addressBits(rule.family)) continue;
			found.set(match.prefix.address.text, match.prefix.address);
		}
	}
	return [...found.values()];
}
