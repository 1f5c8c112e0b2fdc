/**
 * Finds the DADDR rules in a file that iptables-save or ip6tables-save wrote on a host with the kernel module, and
 * lists every other rule with the reason for leaving it. Pure.
 *
 * Unlike `-restore`, which accepts a file as a whole or not at all, this never throws. Old versions of the module
 * saved `-j DADDR--set-daddr ADDRESS`, without the blank that iptables-restore needs; this is read as intended.
 */
import type { Family } from "@l3dsr/packet";
import { L3dsrError, type Position } from "../../errors.ts";
import { CHAINS, isChainOf, type Rule, type Table } from "../../model/rule.ts";
import { LIMITS } from "../limits.ts";
import type { Services } from "./names.ts";
import { lineTooLong } from "./restore-file.ts";
import { parseRuleSpec } from "./rule-parser.ts";
import { TARGET_NAME } from "./target.ts";

export interface SavedRules {
	readonly rules: readonly { readonly rule: Rule; readonly place: Position }[];
	/** Lines with rules, or policies other than ACCEPT, that were not taken. */
	readonly left: readonly { readonly place: Position; readonly why: string }[];
	/** The number of rules whose missing blank was restored. */
	readonly mended: number;
}

/** True if a line is the name of a table, as in a file of iptables-save. */
export function looksLikeSavedRules(text: string): boolean {
	return /^\*[a-z]+\s*$/m.test(text);
}

export function readSavedRules(text: string, source: string, services: Services): SavedRules {
	const rules: { rule: Rule; place: Position }[] = [];
	const left: { place: Position; why: string }[] = [];
	let mended = 0;
	let table = "";
	for (const [index, raw] of text.split("\n").entries()) {
		const line = raw.replace(/\r$/, "");
		const place = { source, line: index + 1, column: 1, length: Math.max(1, line.length), text: line };
		if (/^\s*(#|$)/.test(line) || line.trim() === "COMMIT") continue;
		if (line.startsWith("*")) {
			table = line.slice(1).trim();
			continue;
		}
		if (line.startsWith(":")) {
			const [, policy = "ACCEPT"] = line.slice(1).split(/\s+/);
			if (policy !== "ACCEPT" && policy !== "-")
				left.push({ place, why: `policy ${policy}: DADDR rules drop nothing` });
			continue;
		}
		if (rules.length + left.length >= LIMITS.rulesOfFile) {
			left.push({ place, why: `the file has more than ${LIMITS.rulesOfFile} rules; reading stopped here` });
			break;
		}
		const found =
			line.length > LIMITS.lineLength ? lineTooLong(line) : readRule(line, table, place, services);
		if (typeof found === "string") left.push({ place, why: found });
		else {
			rules.push({ rule: found.rule, place });
			if (found.mended) mended++;
		}
	}
	return { rules, left, mended };
}

/** Reads `[packets:bytes] -A CHAIN SPEC`, or says why it is not taken. */
function readRule(
	line: string,
	table: string,
	place: Position,
	services: Services,
): { rule: Rule; mended: boolean } | string {
	const [, chain, written = ""] = /^(?:\[\d+:\d+\]\s+)?-A\s+(\S+)\s+(.*)$/.exec(line) ?? [];
	if (chain === undefined) return "it appends no rule";
	const spec = written.replace(/(\s(?:-j|--jump)\s+DADDR)(--set-daddr)/, "$1 $2");
	// A comment may contain anything, even -j.
	const [, target] =
		/(?:^|\s)(?:-j|--jump|-g|--goto)\s+(\S+)/.exec(spec.replace(/"(\\.|[^"\\])*"/g, '""')) ?? [];
	if (target === undefined) return "it has no target";
	if (target !== TARGET_NAME) return `its target is ${target}`;
	if (!isTable(table)) return `table ${table}: rules here stand in ${Object.keys(CHAINS).join(" and ")}`;
	if (!isChainOf(table, chain)) return `chain ${chain} is one of its own, or not of table ${table}`;
	try {
		const rule = parseRuleSpec(spec, {
			family: familyOf(spec),
			table,
			chain,
			source: place.source,
			line: place.line,
			services,
		});
		return { rule, mended: spec !== written };
	} catch (error) {
		if (error instanceof L3dsrError) return error.diagnostics.map(({ message }) => message).join("; ");
		throw error;
	}
}

/** The files of the two families look alike, but the target's address has a family. */
function familyOf(spec: string): Family {
	return /--set-daddr[=\s]+\S*:/.test(spec) ? "ipv6" : "ipv4";
}

function isTable(name: string): name is Table {
	return Object.hasOwn(CHAINS, name);
}
