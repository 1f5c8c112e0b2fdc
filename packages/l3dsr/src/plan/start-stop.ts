/** What `dsrctl start` and `stop` want: rules in PREROUTING and VIPs on `lo`, computed from the observed host. Pure. */
import { lowerService } from "../model/lower-service.ts";
import type { Rule, Table } from "../model/rule.ts";
import type { Service } from "../model/service.ts";
import type { DesiredHost, HostState } from "./host-state.ts";
import { FreeLabels, isStandardLoopback, type LoopbackAddress, vipOnLoopback } from "./loopback.ts";
import { type ChainPlace, RulesetEditor } from "./ruleset-editor.ts";
import { keyOfRule, keyOfService } from "./service-keys.ts";

/** The parts of the host that start and stop look at. */
export type ServiceParts = Pick<HostState, "rules" | "addresses">;

/** Rules and addresses; the rest of the host is not changed. */
export type DesiredParts = Required<Omit<DesiredHost, "guard" | "director">>;

export interface StartOptions {
	/** New rules go to PREROUTING of this table. */
	readonly table: Table;
	/** Insert new rules at the top of the chain, each above the previous one, instead of appending them. */
	readonly insert: boolean;
}

/** The host plus every missing part of these services, in their order. */
export function withServices(
	host: ServiceParts,
	services: readonly Service[],
	{ table, insert }: StartOptions,
): DesiredParts {
	const editor = new RulesetEditor(host.rules);
	const addresses = [...host.addresses];
	const labels = new FreeLabels(addresses);
	const held = new Set(addresses.map(({ address }) => address.text));
	const present = new Set(host.rules.map(({ rule }) => keyOfRule(rule)));
	for (const service of services) {
		const key = keyOfService(service);
		if (key !== undefined && !present.has(key)) {
			present.add(key);
			const rules = lowerService(service, { table, localOnly: false, signed: false });
			const place: ChainPlace = { family: service.vip.family, table, chain: "PREROUTING" };
			editor.apply(place, insert ? { kind: "insert", at: 1, rules } : { kind: "append", rules });
		}
		if (held.has(service.vip.text)) continue;
		held.add(service.vip.text);
		addresses.push(vipOnLoopback(service.vip, labels));
	}
	return { ruleset: editor.ruleset(), addresses };
}

/** The host without these services' addresses and without any rule that does their work, duplicates included. */
export function withoutServices(host: ServiceParts, services: readonly Service[]): DesiredParts {
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

/** The host without any rule in PREROUTING, and without any address on `lo` except the standard ones. */
export function withoutDiscovered(host: ServiceParts): DesiredParts {
	return keep(
		host,
		({ chain }) => chain !== "PREROUTING",
		() => false,
	);
}

function keep(
	host: ServiceParts,
	keepRule: (rule: Rule) => boolean,
	keepAddress: (entry: LoopbackAddress) => boolean,
): DesiredParts {
	return {
		ruleset: {
			entries: host.rules
				.filter(({ rule }) => keepRule(rule))
				.map(({ rule, ordinal }) => ({ rule, ordinal })),
		},
		addresses: host.addresses.filter((entry) => isStandardLoopback(entry) || keepAddress(entry)),
	};
}
