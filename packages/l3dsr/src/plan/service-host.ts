/**
 * What services need of a host: rules in PREROUTING and VIPs on `lo`. Observed in, desired out; the steps
 * between the two are `planLoopback`'s and the datapath's. Pure.
 */
import type { Address, Dscp } from "@l3dsr/packet";
import { lowerService, signatureOf } from "../model/lower-service.ts";
import { type Rule, sameRule, type Table } from "../model/rule.ts";
import type { RuleEntry, Ruleset } from "../model/ruleset.ts";
import type { Service } from "../model/service.ts";
import { findOnLoopback, isStandardLoopback, type LoopbackAddress, vipOnLoopback } from "./loopback.ts";
import { type ChainPlace, type PlacedRule, RulesetEditor } from "./ruleset-editor.ts";

/** The host as it is: every rule of every chain, in ordinal order within each, and every address of `lo`. */
export interface ServiceHost {
	readonly rules: readonly PlacedRule[];
	readonly addresses: readonly LoopbackAddress[];
}

/** The host as it should be. */
export interface DesiredHost {
	readonly ruleset: Ruleset;
	readonly addresses: readonly LoopbackAddress[];
}

export interface StartOptions {
	/** Where new rules go: PREROUTING of this table. */
	readonly table: Table;
	/** New rules at the top of the chain, each above the one before it, instead of at its end. */
	readonly insert: boolean;
}

/** The VIP and code of a rule that does what a service does and nothing else, else undefined. */
export function serviceOfRule(rule: Rule): { readonly vip: Address; readonly dscp: Dscp } | undefined {
	if (rule.chain !== "PREROUTING" || rule.target.dport !== undefined || rule.target.clearDscp)
		return undefined;
	let dscp: Dscp | undefined;
	for (const match of rule.matches) {
		// A comment matches all, and `--dst-type LOCAL` all that a director sends here.
		if (match.kind === "comment" || (match.kind === "addrtype" && !match.negated)) continue;
		if (match.kind !== "dscp" || match.negated || dscp !== undefined) return undefined;
		dscp = match.dscp;
	}
	if (dscp === undefined) return undefined;
	const { inInterface, ...others } = rule.header;
	if (Object.values(others).some((part) => part !== undefined)) return undefined;
	// `l3dsr up` writes one rule for each interface of the host; by hand, `-i` leaves the others out.
	if (inInterface !== undefined && signatureOf(rule) === undefined) return undefined;
	return { vip: rule.target.daddr, dscp };
}

/** One text for each VIP and code, whatever they were spelled like. */
export function serviceKey(vip: Address, dscp: Dscp): string {
	return `${vip.text}=${dscp}`;
}

/** As {@link serviceKey}; undefined for L2DSR, which needs no rule. */
export function keyOfService({ vip, selection }: Service): string | undefined {
	return selection?.dscp === undefined ? undefined : serviceKey(vip, selection.dscp);
}

export function keyOfRule(rule: Rule): string | undefined {
	const service = serviceOfRule(rule);
	return service === undefined ? undefined : serviceKey(service.vip, service.dscp);
}

/** The host with every part of these services that it lacks, added in their order. */
export function withServices(
	host: ServiceHost,
	services: readonly Service[],
	{ table, insert }: StartOptions,
): DesiredHost {
	const editor = new RulesetEditor(host.rules);
	const addresses = [...host.addresses];
	const present = new Set(host.rules.map(({ rule }) => keyOfRule(rule)));
	for (const service of services) {
		const key = keyOfService(service);
		if (key !== undefined && !present.has(key)) {
			present.add(key);
			const rules = lowerService(service, { table, localOnly: false, signed: false });
			const place: ChainPlace = { family: service.vip.family, table, chain: "PREROUTING" };
			editor.apply(place, insert ? { kind: "insert", at: 1, rules } : { kind: "append", rules });
		}
		if (findOnLoopback(service.vip, addresses) === undefined) {
			addresses.push(vipOnLoopback(service.vip, addresses));
		}
	}
	return { ruleset: editor.ruleset(), addresses };
}

/** The host without these services' addresses and without any rule that does their work, duplicates included. */
export function withoutServices(host: ServiceHost, services: readonly Service[]): DesiredHost {
	const keys = new Set(services.map(keyOfService));
	const vips = new Set(services.map(({ vip }) => vip.text));
	return keep(
		host,
		(rule) => {
			const key = keyOfRule(rule);
			return key === undefined || !keys.has(key);
		},
		({ address }) => !vips.has(address.text),
	);
}

/** The host without any rule in PREROUTING and without any address on `lo` but the standard ones. */
export function withoutDiscovered(host: ServiceHost): DesiredHost {
	return keep(
		host,
		({ chain }) => chain !== "PREROUTING",
		() => false,
	);
}

/** What a plan undoes to: the host as it was, whatever it is now. */
export function asBefore(before: ServiceHost, now: ServiceHost): DesiredHost {
	const standing = new Map(now.rules.map(({ rule, ordinal }) => [placeKey(rule, ordinal), rule]));
	const entries = before.rules.map(({ rule, ordinal, counters }): RuleEntry => {
		const same = standing.get(placeKey(rule, ordinal));
		return same !== undefined && sameRule(same, rule) ? { rule: same, ordinal } : { rule, ordinal, counters };
	});
	return { ruleset: { entries }, addresses: before.addresses };
}

export type RuleStep = { readonly kind: "add" | "remove"; readonly rule: Rule };

/** What `desired` adds to and takes from what was observed. A rule that stays is the very object that was observed. */
export function planRules(observed: readonly PlacedRule[], desired: Ruleset): RuleStep[] {
	const before = new Set(observed.map(({ rule }) => rule));
	const after = new Set(desired.entries.map(({ rule }) => rule));
	return [
		...[...before].filter((rule) => !after.has(rule)).map((rule) => ({ kind: "remove", rule }) as const),
		...[...after].filter((rule) => !before.has(rule)).map((rule) => ({ kind: "add", rule }) as const),
	];
}

function keep(
	host: ServiceHost,
	keepRule: (rule: Rule) => boolean,
	keepAddress: (entry: LoopbackAddress) => boolean,
): DesiredHost {
	return {
		ruleset: {
			entries: host.rules
				.filter(({ rule }) => keepRule(rule))
				.map(({ rule, ordinal }) => ({ rule, ordinal })),
		},
		addresses: host.addresses.filter((entry) => isStandardLoopback(entry) || keepAddress(entry)),
	};
}

function placeKey(rule: Rule, ordinal: number): string {
	return `${rule.family} ${rule.table} ${rule.chain} ${ordinal}`;
}
