/** The desired state of a configuration, in terms of the observed host. */

import { type Address, sameAddress } from "@l3dsr/packet";
import { L3dsrError } from "../errors.ts";
import { absentInterfaces } from "../model/absent-interfaces.ts";
import type { Configuration } from "../model/configuration.ts";
import type { DesiredDirector } from "../model/director.ts";
import { isTooLongForRules } from "../model/interface-name.ts";
import { type LoweringOptions, lowerService, signatureOf } from "../model/lower-service.ts";
import type { Service } from "../model/service.ts";
import { arrivalInterfaces } from "../plan/arrival-interfaces.ts";
import { desiredHost, type Wish } from "../plan/desired-host.ts";
import type { DesiredHost, HostState } from "../plan/host-state.ts";
import { silencedServices, withOwnNames } from "../plan/interface-names.ts";
import { partServices, type StoppedService } from "../plan/startable.ts";
import { describeReason, type Reason } from "../rewrite/reason.ts";
import type { HostEffects } from "./host-effects.ts";
import type { ObservedHost } from "./observe.ts";
import type { Plan, Target } from "./target.ts";

export type ServiceConfiguration = Pick<
	Configuration,
	"services" | "table" | "interfaces" | "datapath" | "hook"
>;

export interface ConfiguredHost extends Required<DesiredHost> {
	readonly wish: Wish;
	/** Why the rules name no interface although programs could have served them. */
	readonly everywhere?: Everywhere;
	/** Configured but not possible on this host. */
	readonly stopped: readonly StoppedService[];
	/** Names of interfaces that the configuration uses and this host does not have. */
	readonly absent: readonly string[];
	/** Services whose working rules would be replaced by rules for those: `up` refuses. */
	readonly silenced: readonly string[];
}

/** Why rules apply to every present and future interface, and so run on nftables. */
export type Everywhere =
	/** Packets may arrive on this interface, which has no address and may come and go. */
	| { readonly kind: "passing"; readonly interface: string }
	/** Programs could not run there. */
	| { readonly kind: "no-programs"; readonly reason: Reason };

export function describeEverywhere(everywhere: Everywhere): string {
	if (everywhere.kind === "no-programs") return describeReason(everywhere.reason);
	return (
		`packets may arrive on ${everywhere.interface}, which has no address and may come and go; ` +
		"list interfaces in the configuration, and programs serve those"
	);
}

/**
 * `elsewhere` returns the services that dsrctl manages; it is called only if something of ours would
 * otherwise be removed. `director` is the desired director: its settings and the fleet.
 */
export function configuredTarget(
	host: Pick<HostEffects, "hasIpv6">,
	configuration: ServiceConfiguration,
	elsewhere: () => Promise<readonly Service[]>,
	director?: Omit<DesiredDirector, "rulesAt">,
): Target<ConfiguredHost> {
	const { startable, stopped } = partServices(configuration.services, { ipv6: host.hasIpv6() });
	return {
		scope: "host",
		async desired(observed) {
			const named = withOwnNames({ ...configuration, services: startable }, observed.interfaces);
			const { services } = named;
			const absent = absentInterfaces(named, observed.interfaces);
			requireRuleNames(absent);
			const { lowering, everywhere } = await loweringOf(named, services, observed);
			const wish: Wish = {
				services,
				...(named.interfaces === undefined ? {} : { interfaces: named.interfaces }),
				lowering,
				elsewhere: somethingLeaves(services, observed) ? await elsewhere() : [],
			};
			const desired = desiredHost(observed.state, wish);
			const running = observed.state.rules.map(({ rule }) => rule);
			const wanted = desired.ruleset.entries.map(({ rule }) => rule);
			const directing = director === undefined ? "none" : { ...director, rulesAt: configuration.hook };
			return {
				...desired,
				director: directing,
				wish,
				...(everywhere === undefined ? {} : { everywhere }),
				stopped,
				absent,
				silenced: silencedServices(running, wanted, absent),
			};
		},
	};
}

function requireRuleNames(absent: readonly string[]): void {
	const [name] = absent.filter(isTooLongForRules);
	if (name === undefined) return;
	throw new L3dsrError({
		code: "CONFIG_BAD_VALUE",
		message: `the configuration names interface ${name}, but no interface of this host has this alternative name`,
		hint: "ip link lists the names; rules cannot wait for a name of more than 15 bytes",
	});
}

/** One sentence for each name without an interface. */
export function absentTexts({ absent }: Pick<ConfiguredHost, "absent">): string[] {
	return absent.map(
		(name) =>
			`the configuration names interface ${name}, which this host does not have: rules for it match nothing`,
	);
}

/** What up refuses to do, if anything. */
export function silencingText({ absent, silenced }: ConfiguredHost): string | undefined {
	if (silenced.length === 0) return undefined;
	return `replace the working rules of ${silenced.join(", ")} with rules for ${absent.join(", ")}, which this host does not have`;
}

/** The same target, which throws CONFIG_BAD_VALUE instead of silencing a service. */
export function refusingSilence(target: Target<ConfiguredHost>): Target<ConfiguredHost> {
	return {
		...target,
		async desired(observed) {
			const desired = await target.desired(observed);
			const refused = silencingText(desired);
			if (refused === undefined) return desired;
			throw new L3dsrError({
				code: "CONFIG_BAD_VALUE",
				message: `refused to ${refused}`,
				hint: "correct the name in the configuration; or take the services down first (l3dsr down), then rules can wait for the interface",
			});
		},
	};
}

function somethingLeaves(startable: readonly Service[], { state }: ObservedHost): boolean {
	const vips = new Set(startable.map(({ vip }) => vip.text));
	const names = new Set(startable.map(({ name }) => name));
	return (
		state.guard.held.some(({ text }) => !vips.has(text)) ||
		state.addresses.some(({ address, own }) => own === true && !vips.has(address.text)) ||
		state.rules.some(({ rule }) => {
			const signature = signatureOf(rule);
			return signature !== undefined && !(names.has(signature) && vips.has(rule.target.daddr.text));
		})
	);
}

interface Lowering {
	readonly lowering: LoweringOptions;
	readonly everywhere?: Everywhere;
}

/**
 * Rules name interfaces if the configuration does, or if that lets them run on eBPF. Otherwise they name
 * none, and apply to every present and future interface.
 */
async function loweringOf(
	configuration: ServiceConfiguration,
	startable: readonly Service[],
	{ interfaces: present, state, snapshot }: ObservedHost,
): Promise<Lowering> {
	const lowering: LoweringOptions = {
		table: configuration.table,
		localOnly: true,
		signed: true,
		beside: startable,
	};
	const { interfaces, passing } = arrivalInterfaces(configuration, present, {
		vips: vipsOf(configuration.services, state),
		served: new Set(
			state.rules.flatMap(({ rule }) =>
				signatureOf(rule) === undefined ? [] : (rule.header.inInterface?.name ?? []),
			),
		),
	});
	const named: LoweringOptions = { ...lowering, interfaces };
	if (configuration.interfaces !== undefined) return { lowering: named };
	if (configuration.datapath === "nft" || interfaces.length === 0) return { lowering };
	// If eBPF is forced, programs run on the present interfaces, or the command fails with the reason.
	if (configuration.datapath === "ebpf") return { lowering: named };
	const rules = startable.flatMap((service) => lowerService(service, named));
	const { rules: assigned } = await snapshot.assign({
		entries: rules.map((rule, index) => ({ rule, ordinal: index })),
	});
	if (assigned.some((one) => one.datapath === "ebpf")) {
		return passing === undefined
			? { lowering: named }
			: { lowering, everywhere: { kind: "passing", interface: passing } };
	}
	const [first] = assigned;
	return {
		lowering,
		...(first === undefined ? {} : { everywhere: { kind: "no-programs", reason: first.reason } }),
	};
}

/** Addresses that directors do not send to: those of configured and running services, and of foreign rules. */
function vipsOf(services: readonly Service[], { guard, rules }: HostState): ReadonlySet<string> {
	return new Set([
		...services.map(({ vip }) => vip.text),
		...guard.held.map(({ text }) => text),
		...rules.map(({ rule }) => rule.target.daddr.text),
	]);
}

/** VIPs that lose their service, and stay on `lo` because `up` has not put them there. */
export function stayingVips({ observed, desired }: Plan<ConfiguredHost>): readonly Address[] {
	const held = desired.guard === "none" ? [] : desired.guard.held;
	return observed.state.guard.found.filter((vip) => !held.some((one) => sameAddress(one, vip)));
}
