/** What runs, service by service: the record that `status` prints. Pure. */

import type { SelectionRecord } from "@l3dsr/records";
import { type LoweringOptions, lowerService, signatureOf } from "../../model/lower-service.ts";
import { type Counters, type Rule, sameRule, withoutComments } from "../../model/rule.ts";
import { RuleBag } from "../../model/rule-bag.ts";
import { type Service, serviceType } from "../../model/service.ts";
import { once } from "../../once.ts";
import type { HostState } from "../../plan/host-state.ts";
import { loopbackEntries } from "../../plan/loopback.ts";
import { keyOfRule, keyOfService } from "../../plan/service-keys.ts";
import type { StoppedService } from "../../plan/startable.ts";
import type { DatapathName, ObservedRule } from "../../rewrite/datapath.ts";
import { raiseRules } from "../../syntax/config/raise-rules.ts";
import { selectionText } from "../../syntax/selection-text.ts";
import { selectionRecord } from "./selection-record.ts";

export interface ServiceRow {
	readonly name: string;
	readonly type: "l3dsr" | "l2dsr";
	readonly vip: string;
	/** In words, and as values. */
	readonly selects: string;
	readonly selection: readonly SelectionRecord[];
	/** `partial`: the address without all rules, or rules without the address. `stopped`: not possible on this host. */
	readonly state: "up" | "partial" | "down" | "stopped" | "not configured";
	/** Why it is stopped. */
	readonly reason?: string;
	/** Label of the VIP on `lo`; `lo` if it has none. */
	readonly loopback: string | null;
	readonly rules: { readonly present: number; readonly wanted: number };
	readonly datapaths: readonly DatapathName[];
	/** What its rules have matched; null for L2DSR, which has no rule. */
	readonly packets: bigint | null;
	readonly bytes: bigint | null;
}

export interface ServiceWish {
	/** Undefined without a configuration: then the record contains only what runs. */
	readonly services: readonly Service[] | undefined;
	readonly lowering: LoweringOptions;
	readonly stopped: readonly StoppedService[];
}

/** Configured services in their order, then what up has added for services that are no longer configured. */
export function serviceRows(
	{ services, lowering, stopped }: ServiceWish,
	state: HostState,
	observed: readonly ObservedRule[],
): ServiceRow[] {
	const own = observed.filter(({ rule }) => signatureOf(rule) !== undefined);
	const ownOf = Map.groupBy(own, ({ rule }) => rule.target.daddr.text);
	const foreignOf = Map.groupBy(
		observed.filter(({ rule }) => signatureOf(rule) === undefined),
		({ rule }) => keyOfRule(rule),
	);
	const entryOf = loopbackEntries(state.addresses);
	const whyStopped = new Map(stopped.map(({ service, reason }) => [service, reason]));
	const accounted = new Set<ObservedRule>();
	const lowered = new Map((services ?? []).map((service) => [service, lowerService(service, lowering)]));
	const configured = once(() => new RuleBag([...lowered.values()].flat()));
	const rows = [...lowered].map(([service, rules]): ServiceRow => {
		const ownHere = ownOf.get(service.vip.text) ?? [];
		// If two services do the same, up installs the rules of one: they serve the other too.
		const wanted = rules.map((rule) => {
			if (ownHere.some((one) => sameRule(one.rule, rule))) return rule;
			const effect = withoutComments(rule);
			const twin = ownHere.find(
				(one) => sameRule(withoutComments(one.rule), effect) && configured().has(one.rule),
			);
			return twin?.rule ?? rule;
		});
		const found = ownHere.filter(({ rule }) => wanted.some((one) => sameRule(one, rule)));
		for (const one of found) accounted.add(one);
		// A rule by dsrctl, or by hand, does the same until up takes it over.
		const key = keyOfService(service);
		const others = found.length > 0 || key === undefined ? [] : (foreignOf.get(key) ?? []);
		const serving = [...found, ...others];
		const present =
			others.length > 0
				? wanted.length
				: wanted.filter((one) => found.some(({ rule }) => sameRule(rule, one))).length;
		const entry = entryOf(service.vip);
		const reason = whyStopped.get(service);
		const parts = [entry !== undefined, ...wanted.map((_, index) => index < present)];
		return {
			name: service.name,
			type: serviceType(service),
			vip: service.vip.text,
			selects: selectionText(service.selection),
			selection: service.selection === undefined ? [] : [selectionRecord(service.selection)],
			...(reason === undefined ? { state: stateOf(parts) } : { state: "stopped", reason }),
			loopback: loopbackText(entry),
			rules: { present, wanted: wanted.length },
			...counted(service.selection === undefined ? undefined : serving),
		};
	});
	return [...rows, ...strayRows(services, state, own, accounted)];
}

/** Derived from its parts: the address, and each rule. */
function stateOf(parts: readonly boolean[]): ServiceRow["state"] {
	return parts.every(Boolean) ? "up" : parts.some(Boolean) ? "partial" : "down";
}

function strayRows(
	services: readonly Service[] | undefined,
	state: HostState,
	own: readonly ObservedRule[],
	accounted: ReadonlySet<ObservedRule>,
): ServiceRow[] {
	const entryOf = loopbackEntries(state.addresses);
	const stateFor = (...parts: readonly boolean[]) =>
		services === undefined ? stateOf(parts) : ("not configured" as const);
	const stray = new Map<string, ObservedRule[]>();
	for (const one of own) {
		if (accounted.has(one)) continue;
		const key = `${signatureOf(one.rule)} ${one.rule.target.daddr.text}`;
		stray.set(key, [...(stray.get(key) ?? []), one]);
	}
	const rows = [...stray.values()].flatMap((found): ServiceRow[] => {
		const [first] = found;
		if (first === undefined) return [];
		const vip = first.rule.target.daddr;
		const entry = entryOf(vip);
		return [
			{
				name: signatureOf(first.rule) ?? vip.text,
				type: "l3dsr",
				vip: vip.text,
				...raised(found.map(({ rule }) => rule)),
				state: stateFor(true, entry !== undefined),
				loopback: loopbackText(entry),
				rules: { present: found.length, wanted: 0 },
				...counted(found),
			},
		];
	});
	const known = new Set([...(services ?? []).map(({ vip }) => vip.text), ...rows.map(({ vip }) => vip)]);
	const bare = state.guard.held
		.filter((vip) => !known.has(vip.text))
		.flatMap((vip): ServiceRow[] => {
			const entry = entryOf(vip);
			if (entry === undefined && services !== undefined) return [];
			return [
				{
					name: vip.text,
					type: "l2dsr",
					vip: vip.text,
					selects: selectionText(undefined),
					selection: [],
					state: stateFor(entry !== undefined),
					loopback: loopbackText(entry),
					rules: { present: 0, wanted: 0 },
					...counted(undefined),
				},
			];
		});
	return [...rows, ...bare];
}

/** What rules select that are in no configuration. */
function raised(rules: readonly Rule[]): Pick<ServiceRow, "selects" | "selection"> {
	const { services, left } = raiseRules(rules);
	const selections = services.flatMap(({ service: { selection } }) => selection ?? []);
	return {
		selects: [
			...selections.map(selectionText),
			...(left.length === 0 ? [] : ["rules without a service"]),
		].join("; "),
		selection: selections.map(selectionRecord),
	};
}

/** IPv6 addresses have no label. */
function loopbackText(entry: { readonly label?: string } | undefined): string | null {
	return entry === undefined ? null : (entry.label ?? "lo");
}

function counted(
	rules: readonly ObservedRule[] | undefined,
): Pick<ServiceRow, "datapaths" | "packets" | "bytes"> {
	if (rules === undefined) return { datapaths: [], packets: null, bytes: null };
	return {
		datapaths: [...new Set(rules.map(({ datapath }) => datapath))].sort(),
		packets: rules.reduce((sum, { counters }) => sum + counters.packets, 0n),
		bytes: rules.reduce((sum, { counters }) => sum + counters.bytes, 0n),
	};
}

/** Per second, between two moments. */
export interface Rate {
	readonly packets: number;
	readonly bytes: number;
}

/** Null if nothing counts, if the service is new, or if counters were reset in between. */
export function rateOf(row: ServiceRow, before: readonly ServiceRow[], elapsedMs: number): Rate | null {
	const old = before.find(
		(one) => one.name === row.name && one.vip === row.vip && one.selects === row.selects,
	);
	if (row.packets === null || row.bytes === null || old?.packets == null || old.bytes === null) return null;
	return countedRate(
		{ packets: row.packets, bytes: row.bytes },
		{ packets: old.packets, bytes: old.bytes },
		elapsedMs,
	);
}

/** Null if counters were reset in between. */
export function countedRate(now: Counters, before: Counters, elapsedMs: number): Rate | null {
	const packets = now.packets - before.packets;
	const bytes = now.bytes - before.bytes;
	if (packets < 0n || bytes < 0n || elapsedMs <= 0) return null;
	return { packets: (Number(packets) * 1000) / elapsedMs, bytes: (Number(bytes) * 1000) / elapsedMs };
}
