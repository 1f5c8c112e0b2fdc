/** The status of each service, and what else of the kind is on the host: the record that `dsrctl` prints. Pure. */
import { type Address, sameAddress } from "@l3dsr/packet";
import { type Rule, sameRule, type Table } from "../model/rule.ts";
import { serviceType, type WrittenService } from "../model/service.ts";
import { isStandardLoopback, type LoopbackAddress, loopbackEntries } from "./loopback.ts";
import type { PlacedRule } from "./ruleset-editor.ts";
import { keyOfRule, keyOfService } from "./service-keys.ts";
import type { ServiceParts } from "./start-stop.ts";

export interface ServiceRow {
	/** `loopb`: an address without a rule; `iptbl`: a rule without an address. Both are discovered, not configured. */
	readonly type: "l3dsr" | "l2dsr" | "loopb" | "iptbl";
	readonly state: "started" | "partial" | "stopped";
	/** As written; for discovered services, canonical. */
	readonly name: string;
	/** The numeric address, if the name is a host name. */
	readonly address: string;
	readonly dscp?: string;
	/** Label of the VIP on `lo`; `lo` for IPv6; absent if the VIP is not there. */
	readonly loopback?: string;
	/** Table of its rule; absent if it has none. */
	readonly table?: Table;
	/** For configured services: the table where its rule is or would be. */
	readonly configuredTable?: Table;
	readonly source: "conf" | "disc";
}

/** A rule that exists more than once. */
export interface DuplicateRules {
	readonly address: string;
	readonly dscp: string;
	readonly count: number;
}

export interface ServiceReport {
	readonly rows: readonly ServiceRow[];
	readonly duplicates: readonly DuplicateRules[];
}

export interface ReportOptions {
	/** False: IPv6 services are stopped, even if parts of them are still there. */
	readonly ipv6: boolean;
	/** The table for new rules; also the one reported for a rule that is in both tables. */
	readonly table: Table;
	/** Also report what is not configured. */
	readonly discovered: boolean;
}

/** Configured services in their order, then what was discovered, if requested: pairs, addresses, rules. */
export function reportServices(
	host: ServiceParts,
	services: readonly WrittenService[],
	options: ReportOptions,
): ServiceReport {
	const rules = groupRules(host.rules);
	const groupsOf = new Map<string, RuleGroup[]>();
	for (const group of rules) {
		const key = keyOfRule(group.rule);
		if (key !== undefined) groupsOf.set(key, [...(groupsOf.get(key) ?? []), group]);
	}
	const rows: ServiceRow[] = [];
	const entryOf = loopbackEntries(host.addresses);
	const duplicates: DuplicateRules[] = [];
	const configured = new Set<string>();
	for (const written of services) {
		const key = keyOfService(written.service);
		const own = key === undefined ? [] : (groupsOf.get(key) ?? []);
		rows.push(configuredRow(written, own, entryOf, options));
		if (key === undefined || configured.has(key)) continue;
		configured.add(key);
		duplicates.push(...duplicatesOf(own, rowAddress(written), written.dscpText ?? ""));
	}
	if (options.discovered) {
		const others = rules.filter(({ rule }) => {
			const key = keyOfRule(rule);
			return key === undefined || !configured.has(key);
		});
		const vips = new Set(services.map(({ service }) => service.vip.text));
		const addresses = host.addresses.filter(
			(entry) => !isStandardLoopback(entry) && !vips.has(entry.address.text),
		);
		for (const row of discoveredRows(others, addresses, entryOf)) rows.push(row);
		for (const group of others) {
			duplicates.push(...duplicatesOf([group], group.rule.target.daddr.text, printedDscp(group.rule)));
		}
	}
	return { rows, duplicates };
}

export type Started = "all" | "some" | "none";

/** Combines the state of several rows. */
export function startedOf(rows: readonly ServiceRow[]): Started {
	if (rows.every(({ state }) => state === "started")) return "all";
	return rows.every(({ state }) => state === "stopped") ? "none" : "some";
}

type EntryOf = (vip: Address) => LoopbackAddress | undefined;

function configuredRow(
	written: WrittenService,
	groups: readonly RuleGroup[],
	entryOf: EntryOf,
	options: ReportOptions,
): ServiceRow {
	const { service } = written;
	const off = service.vip.family === "ipv6" && !options.ipv6;
	const entry = off ? undefined : entryOf(service.vip);
	const tables = off ? [] : groups.flatMap((group) => group.tables);
	const type = serviceType(service);
	const parts = type === "l2dsr" ? [entry !== undefined] : [entry !== undefined, tables.length > 0];
	const table = tables.includes(options.table) ? options.table : tables[0];
	return {
		type,
		state: parts.every(Boolean) ? "started" : parts.some(Boolean) ? "partial" : "stopped",
		name: written.vipText,
		address: rowAddress(written),
		...(written.dscpText === undefined ? {} : { dscp: written.dscpText }),
		...(entry === undefined ? {} : { loopback: entry.label ?? "lo" }),
		...(table === undefined ? {} : { table }),
		configuredTable: options.table,
		source: "conf",
	};
}

function discoveredRows(
	groups: readonly RuleGroup[],
	addresses: readonly LoopbackAddress[],
	entryOf: EntryOf,
): ServiceRow[] {
	const pairs: ServiceRow[] = [];
	const lone: ServiceRow[] = [];
	for (const { rule, tables } of groups) {
		const vip = rule.target.daddr;
		const entry = entryOf(vip);
		for (const table of tables) {
			const row = { name: vip.text, address: vip.text, table, state: "started", source: "disc" } as const;
			if (entry === undefined) lone.push({ ...row, type: "iptbl", ...dscpField(printedDscp(rule)) });
			else {
				const loopback = entry.label ?? "lo";
				pairs.push({ ...row, type: "l3dsr", ...dscpField(decimalDscp(rule)), loopback });
			}
		}
	}
	const bare = addresses
		.filter(({ address }) => !groups.some(({ rule }) => sameAddress(rule.target.daddr, address)))
		.map(
			({ address, label }): ServiceRow => ({
				type: "loopb",
				state: "started",
				name: address.text,
				address: address.text,
				loopback: label ?? "lo",
				source: "disc",
			}),
		);
	return [...pairs, ...bare, ...lone];
}

/** Rules of PREROUTING with the same matches and target, regardless of comments and tables. */
interface RuleGroup {
	/** The first of them. */
	readonly rule: Rule;
	readonly count: number;
	/** Each table once, `raw` before `mangle`. */
	readonly tables: readonly Table[];
}

function groupRules(placed: readonly PlacedRule[]): RuleGroup[] {
	const buckets = new Map<string, { rule: Rule; bare: Rule; found: Rule[] }[]>();
	const all: { rule: Rule; found: Rule[] }[] = [];
	for (const { rule } of placed) {
		if (rule.chain !== "PREROUTING") continue;
		const bare = essence(rule);
		// Comparing whole rules is slow, so compare only those with the same VIP and code.
		const bucketKey = `${rule.target.daddr.text} ${printedDscp(rule)}`;
		const bucket = buckets.get(bucketKey) ?? [];
		buckets.set(bucketKey, bucket);
		const same = bucket.find((candidate) => sameRule(candidate.bare, bare));
		if (same !== undefined) same.found.push(rule);
		else {
			const group = { rule, bare, found: [rule] };
			bucket.push(group);
			all.push(group);
		}
	}
	return all.map(({ rule, found }) => ({
		rule,
		count: found.length,
		tables: (["raw", "mangle"] as const).filter((table) => found.some((one) => one.table === table)),
	}));
}

/** The parts of a rule that must be equal for another one to be superfluous. */
function essence(rule: Rule): Rule {
	return { ...rule, table: "raw", matches: rule.matches.filter(({ kind }) => kind !== "comment") };
}

function duplicatesOf(groups: readonly RuleGroup[], address: string, dscp: string): DuplicateRules[] {
	return groups.filter(({ count }) => count > 1).map(({ count }) => ({ address, dscp, count }));
}

/** As written, unless that is a host name. */
function rowAddress({ service, vipText }: WrittenService): string {
	return isNumeric(service.vip, vipText) ? vipText : service.vip.text;
}

/** A host name has no colon, and an IPv4 address has only one spelling. */
function isNumeric(vip: Address, text: string): boolean {
	return vip.family === "ipv6" || vip.text === text;
}

function dscpMatch(rule: Rule): { readonly negated: boolean; readonly dscp: number } | undefined {
	for (const match of rule.matches) if (match.kind === "dscp") return match;
	return undefined;
}

/** `0x1e`, as iptables prints it; empty if the rule matches no code. */
function printedDscp(rule: Rule): string {
	const match = dscpMatch(rule);
	if (match === undefined) return "";
	return `${match.negated ? "!" : ""}0x${match.dscp.toString(16).padStart(2, "0")}`;
}

function decimalDscp(rule: Rule): string {
	const match = dscpMatch(rule);
	return match === undefined ? "" : `${match.negated ? "!" : ""}${match.dscp}`;
}

function dscpField(text: string): { dscp?: string } {
	return text === "" ? {} : { dscp: text };
}
