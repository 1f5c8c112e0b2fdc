/**
 * What `l3dsr up` and `down` want: from the observed host and its wanted services to the desired host. Pure.
 *
 * We own the rules that carry a service's signature, and the VIPs that up has added to lo, as recorded in the guard
 * and in the addresses' mark. Everything else stays, including a VIP that was on lo before, with its label and
 * prefix. There are two exceptions: a rule of dsrctl for the same VIP and code is taken over, and a service that was
 * removed here but is in dsr.conf is handed back. So a service can move between the two files without a moment in
 * which its packets are not rewritten.
 */
import { type Address, addressBits } from "@l3dsr/packet";
import type { InterfaceName } from "../model/interface-name.ts";
import { type LoweringOptions, lowerService, signatureOf } from "../model/lower-service.ts";
import { type Rule, withoutComments } from "../model/rule.ts";
import { RuleBag } from "../model/rule-bag.ts";
import { ORDINAL_STEP, type RuleEntry, type Ruleset } from "../model/ruleset.ts";
import type { Service } from "../model/service.ts";
import { guardFor, settledGuard } from "../model/vip-guard.ts";
import type { DesiredHost, HostState } from "./host-state.ts";
import { FreeLabels, isStandardLoopback, type LoopbackAddress, vipOnLoopback } from "./loopback.ts";
import { keyOfRule, keyOfService } from "./service-keys.ts";

export interface Wish {
	readonly services: readonly Service[];
	readonly lowering: LoweringOptions;
	/** Services in dsr.conf that this configuration does not include; they belong to dsrctl. */
	readonly elsewhere: readonly Service[];
	/** The interfaces where packets from directors arrive, if the configuration names them. */
	readonly interfaces?: readonly InterfaceName[];
}

export function desiredHost(observed: HostState, wish: Wish): Required<Omit<DesiredHost, "director">> {
	const vips = new Map(wish.services.map(({ vip }) => [vip.text, vip]));
	const ruleset = desiredRuleset(observed, wish);
	const needed = new Set([
		...wish.elsewhere.map(({ vip }) => vip.text),
		...ruleset.entries.flatMap(({ rule }) =>
			signatureOf(rule) === undefined ? [rule.target.daddr.text] : [],
		),
	]);
	const ownership = new Ownership(observed);
	const found = [...vips.values()].filter((vip) => ownership.wasThereBefore(vip));
	const stays = new Set(found.map(({ text }) => text));
	const addresses = observed.addresses.filter((entry) => {
		const { text } = entry.address;
		if (isStandardLoopback(entry)) return true;
		if (stays.has(text)) return entry.own !== true || isAlone(entry);
		if (vips.has(text)) return isAlone(entry);
		return !ownership.isOurs(entry) || needed.has(text);
	});
	const present = new Set(addresses.map(({ address }) => address.text));
	const labels = new FreeLabels([...observed.addresses, ...addresses]);
	for (const vip of vips.values()) {
		if (present.has(vip.text)) continue;
		addresses.push({ ...vipOnLoopback(vip, labels), own: true });
	}
	const guard = guardFor([...vips.values()], observed.links, found);
	const settled = guard && settledGuard(observed.guard.guard, guard, bystanders(observed, wish, ruleset));
	return { ruleset, addresses, guard: settled ?? "none" };
}

/** Interfaces that the configuration does not name; if it names none, bridges without a rule of a service. */
function bystanders(
	{ links }: HostState,
	{ interfaces }: Wish,
	{ entries }: Ruleset,
): (name: string) => boolean {
	if (interfaces !== undefined) return (name) => !interfaces.some((one) => covers(one, name));
	const bridges = new Set(links.flatMap((link) => (link.bridge === true ? [link.interface] : [])));
	const served = new Set(entries.flatMap(({ rule }) => rule.header.inInterface?.name ?? []));
	return (name) => bridges.has(name) && !served.has(name);
}

function desiredRuleset(observed: HostState, { services, lowering, elsewhere }: Wish): Ruleset {
	const wanted = distinctRules(services.flatMap((service) => lowerService(service, lowering)));
	const missing = new RuleBag(wanted);
	const keysHere = new Set(services.map(keyOfService));
	const byKeyElsewhere = new Map(elsewhere.map((service) => [keyOfService(service), service]));
	const entries: RuleEntry[] = [];
	/** Places of rules that another rule replaces, and the key of that rule. */
	const places: { old: RuleEntry; key: string }[] = [];
	const handedBack = new Map<string, Service>();
	for (const { rule, ordinal } of observed.rules) {
		const entry = { rule, ordinal };
		const key = keyOfRule(rule);
		if (signatureOf(rule) !== undefined) {
			if (missing.take(rule)) {
				entries.push(entry);
				continue;
			}
			const heir = key === undefined || keysHere.has(key) ? undefined : byKeyElsewhere.get(key);
			if (heir !== undefined && key !== undefined) handedBack.set(key, heir);
			if (key !== undefined) places.push({ old: entry, key });
			continue;
		}
		if (key !== undefined && keysHere.has(key) && !byKeyElsewhere.has(key)) places.push({ old: entry, key });
		else entries.push(entry);
	}
	const unsigned = new Set(
		entries.flatMap(({ rule }) => (signatureOf(rule) === undefined ? (keyOfRule(rule) ?? []) : [])),
	);
	const heirs = [...handedBack]
		.filter(([key]) => !unsigned.has(key))
		.flatMap(([, service]) =>
			lowerService(service, { table: lowering.table, localOnly: false, signed: false }),
		);
	const last = new Map<string, number>();
	for (const { rule, ordinal } of [...observed.rules, ...entries]) {
		last.set(chainKey(rule), Math.max(ordinal, last.get(chainKey(rule)) ?? 0));
	}
	const placesOf = Map.groupBy(places, ({ old, key }) => `${key} ${chainKey(old.rule)}`);
	for (const rule of [...missing.rules(), ...heirs]) {
		const place = placesOf.get(`${keyOfRule(rule)} ${chainKey(rule)}`)?.shift();
		const ordinal = place?.old.ordinal ?? (last.get(chainKey(rule)) ?? 0) + ORDINAL_STEP;
		last.set(chainKey(rule), Math.max(ordinal, last.get(chainKey(rule)) ?? 0));
		entries.push({ rule, ordinal });
	}
	return { entries: entries.sort(byPlace) };
}

/** IPv4 first, then by table, and by ordinal within a chain. */
function byPlace(a: RuleEntry, b: RuleEntry): number {
	const [left, right] = [chainKey(a.rule), chainKey(b.rule)];
	return left === right ? a.ordinal - b.ordinal : left < right ? -1 : 1;
}

function covers({ name, wildcard }: InterfaceName, interfaceName: string): boolean {
	return wildcard ? interfaceName.startsWith(name) : interfaceName === name;
}

function chainKey({ family, table, chain }: Rule): string {
	return `${family} ${table} ${chain}`;
}

/** Decides who added each address of `lo`. */
class Ownership {
	readonly #held: ReadonlySet<string>;
	readonly #found: ReadonlySet<string>;
	/** Addresses without our mark. */
	readonly #others: ReadonlySet<string>;

	constructor({ guard, addresses }: HostState) {
		const textsOf = (of: readonly Address[]) => new Set(of.map(({ text }) => text));
		this.#held = textsOf(guard.held);
		this.#found = textsOf(guard.found);
		this.#others = textsOf(addresses.filter(({ own }) => own !== true).map(({ address }) => address));
	}

	/** True if the VIP was on `lo` when `up` first saw it, and that entry is still there. */
	wasThereBefore({ text }: Address): boolean {
		return this.#others.has(text) && (!this.#held.has(text) || this.#found.has(text));
	}

	/** True if `up` added it. The address's mark also says so if the guard was flushed. */
	isOurs({ address: { text }, own }: LoopbackAddress): boolean {
		return own === true || (this.#held.has(text) && !this.#found.has(text));
	}
}

/** True if its prefix on `lo` covers only the VIP. */
function isAlone({ address, prefixLength }: LoopbackAddress): boolean {
	return prefixLength === addressBits(address.family);
}

/** A service that is in both l3dsr.yaml and an included file needs its rules once; keeps the first. */
function distinctRules(rules: readonly Rule[]): Rule[] {
	const seen = new RuleBag();
	return rules.filter((rule) => {
		const effect = withoutComments(rule);
		if (seen.has(effect)) return false;
		seen.add(effect);
		return true;
	});
}
