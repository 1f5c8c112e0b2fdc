/** The table of VIPs, as it runs on this host or from a configuration: what `export` writes. */
import { type Configuration, type DatapathSettings, DEFAULT_CONFIGURATION } from "../model/configuration.ts";
import type { InterfaceName } from "../model/interface-name.ts";
import { lowerService, signatureOf } from "../model/lower-service.ts";
import type { Rule } from "../model/rule.ts";
import type { Service } from "../model/service.ts";
import { arrivalInterfaces } from "../plan/arrival-interfaces.ts";
import type { HostEffects } from "../reconcile/host-effects.ts";
import { loadConfiguration } from "../sources/configuration.ts";
import type { Environment } from "../sources/dsr-conf.ts";
import type { SourceFiles } from "../sources/source-files.ts";
import { raiseRules, tableOf } from "../syntax/config/raise-rules.ts";
import type { VipTable } from "../syntax/export/vip-table.ts";

/** From a configuration file. Throws L3dsrError (CONFIG_*, MODEL_*). */
export async function configuredTable(
	files: SourceFiles,
	path: string,
	env: Environment,
): Promise<Omit<VipTable, "reals">> {
	const { configuration } = await loadConfiguration(files, path, env);
	return { configuration, rules: rulesOf(configuration) };
}

/** As `up` would apply them, except for interfaces that it would discover on the host. */
export function rulesOf({ services, table, interfaces }: Configuration): VipTable["rules"] {
	return services.flatMap((service) =>
		lowerService(service, {
			table,
			localOnly: true,
			beside: services,
			signed: service.name !== service.vip.text,
			...(interfaces === undefined ? {} : { interfaces }),
		}),
	);
}

/** Interfaces that `up` would choose are specific to this host; a table for another host leaves the choice to it. */
function withoutChosen(service: Service, chosen: readonly InterfaceName[]): Service {
	const { interfaces, ...others } = service.selection ?? {};
	const names = new Set(chosen.map(({ name }) => name));
	const isChosen =
		interfaces?.length === chosen.length &&
		interfaces.every(({ name, wildcard }) => !wildcard && names.has(name));
	if (!isChosen) return service;
	return { ...service, selection: others };
}

export interface ObservedTable extends Omit<VipTable, "reals"> {
	/** Rules that are not part of a service, and why not. */
	readonly left: readonly { readonly rule: Rule; readonly why: string }[];
}

/** Rules of both datapaths, and the VIPs that `up` holds without any. Throws L3dsrError (KERNEL_*). */
export async function observedTable(
	host: Pick<HostEffects, "openDatapath" | "guard" | "interfaces">,
	settings: DatapathSettings,
): Promise<ObservedTable> {
	const datapath = await host.openDatapath(settings);
	const [observation, guard, present] = await Promise.all([
		datapath.observe(),
		host.guard(),
		host.interfaces(),
	]);
	const rules = observation.rules.map(({ rule }) => rule);
	const { services, left } = raiseRules(rules);
	const own = rules.filter((rule) => signatureOf(rule) !== undefined);
	const chosen = arrivalInterfaces({}, present, {
		vips: new Set([...guard.held, ...rules.map(({ target }) => target.daddr)].map(({ text }) => text)),
		served: new Set(own.flatMap(({ header }) => header.inInterface?.name ?? [])),
	});
	const rewritten = new Set(rules.map(({ target }) => target.daddr.text));
	const bare = guard.held
		.filter(({ text }) => !rewritten.has(text))
		.map((vip): Service => ({ name: vip.text, vip, clearDscp: false }));
	return {
		configuration: {
			...DEFAULT_CONFIGURATION,
			table: tableOf(rules),
			services: [
				...services.map(({ service, first }) => {
					const rule = rules[first];
					const isOwn = rule !== undefined && signatureOf(rule) !== undefined;
					return isOwn ? withoutChosen(service, chosen.interfaces) : service;
				}),
				...bare,
			],
		},
		rules,
		left: left.flatMap(({ rule: index, why }) => {
			const rule = rules[index];
			return rule === undefined ? [] : [{ rule, why }];
		}),
	};
}
