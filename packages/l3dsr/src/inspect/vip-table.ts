/** The table of VIPs, as it runs on this host or as a configuration says it: what `export` writes. */
import { type Configuration, type DatapathSettings, DEFAULT_CONFIGURATION } from "../model/configuration.ts";
import { lowerService } from "../model/lower-service.ts";
import type { Rule } from "../model/rule.ts";
import type { Service } from "../model/service.ts";
import type { HostEffects } from "../reconcile/host-effects.ts";
import { loadConfiguration } from "../sources/configuration.ts";
import type { Environment } from "../sources/dsr-conf.ts";
import type { SourceFiles } from "../sources/source-files.ts";
import { raiseRules, tableOf } from "../syntax/config/raise-rules.ts";
import type { VipTable } from "../syntax/export/vip-table.ts";

/** Of a configuration file, as it stands there. Throws L3dsrError (CONFIG_*, MODEL_*). */
export async function configuredTable(
	files: SourceFiles,
	path: string,
	env: Environment,
): Promise<Omit<VipTable, "reals">> {
	const { configuration } = await loadConfiguration(files, path, env);
	return { configuration, rules: rulesOf(configuration) };
}

/** As `up` would put them on a host, but for interfaces that it finds out there. */
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

export interface ObservedTable extends Omit<VipTable, "reals"> {
	/** Rules that are not a service's, and why not. */
	readonly left: readonly { readonly rule: Rule; readonly why: string }[];
}

/** Rules of both datapaths, and the VIPs that `up` holds without any. Throws L3dsrError (KERNEL_*). */
export async function observedTable(
	host: Pick<HostEffects, "openDatapath" | "guard">,
	settings: DatapathSettings,
): Promise<ObservedTable> {
	const datapath = await host.openDatapath(settings);
	const [observation, guard] = await Promise.all([datapath.observe(), host.guard()]);
	const rules = observation.rules.map(({ rule }) => rule);
	const { services, left } = raiseRules(rules);
	const rewritten = new Set(rules.map(({ target }) => target.daddr.text));
	const bare = guard.held
		.filter(({ text }) => !rewritten.has(text))
		.map((vip): Service => ({ name: vip.text, vip, clearDscp: false }));
	return {
		configuration: {
			...DEFAULT_CONFIGURATION,
			table: tableOf(rules),
			services: [...services.map(({ service }) => service), ...bare],
		},
		rules,
		left: left.flatMap(({ rule: index, why }) => {
			const rule = rules[index];
			return rule === undefined ? [] : [{ rule, why }];
		}),
	};
}
