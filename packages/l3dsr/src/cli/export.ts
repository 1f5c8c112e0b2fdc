/** `l3dsr export FORMAT`: the table of VIPs as other programs and directors write it. */
import { type Command, InvalidArgumentError } from "commander";
import { EXIT, type ExitCode } from "../errors.ts";
import { type Configuration, DEFAULT_CONFIGURATION } from "../model/configuration.ts";
import { lowerService } from "../model/lower-service.ts";
import type { Service } from "../model/service.ts";
import { loadConfiguration } from "../sources/configuration.ts";
import { resolveSettings } from "../sources/settings.ts";
import { raiseRules, tableOf } from "../syntax/config/raise-rules.ts";
import type { VipTable } from "../syntax/export/vip-table.ts";
import { formatRuleSpec } from "../syntax/iptables/rule-format.ts";
import type { CliContext } from "./context.ts";
import { formatsHelp } from "./export/formats.ts";
import { formatFor, printTable } from "./export/print.ts";
import { inNamespace } from "./namespace.ts";
import { offeringConfiguration } from "./services/command.ts";
import { SYSTEM_HOST } from "./services/host.ts";

interface Options {
	readonly config?: string;
	readonly real?: readonly string[];
	readonly json?: boolean;
	readonly netns?: string;
}

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command
		.description(
			"Prints the table of VIPs in another format: what runs on this host, or with -c what a configuration says. " +
				"What the format cannot hold is named on stderr.",
		)
		.argument("<format>", "see below")
		.option("-c, --config <path>", "a configuration, instead of what runs here; needs no root")
		.option("--real <address>", "a real server, for a director's formats; repeatable", collectAddress)
		.option("--netns <name>", "work in this network namespace (ip netns)")
		.option("--json", "print the text, and what was left out, as JSON")
		.addHelpText("after", () => `\nFormats:\n${formatsHelp()}\n`);
	return async () => {
		const options = command.opts<Options>();
		const [name = ""] = command.args;
		return await inNamespace(options, async () => {
			const { format, reals } = formatFor(name, options);
			const table =
				options.config === undefined
					? await offeringConfiguration(() => observedTable(context))
					: await configuredTable(context, options.config);
			printTable(context, name, format, { ...table, reals }, options);
			return EXIT.done;
		});
	};
}

export function collectAddress(value: string, before: readonly string[] | undefined): readonly string[] {
	if (value === "") throw new InvalidArgumentError("it is empty");
	return [...(before ?? []), value];
}

async function configuredTable(context: CliContext, path: string): Promise<Omit<VipTable, "reals">> {
	const { configuration } = await loadConfiguration(SYSTEM_HOST, path, context.env);
	return { configuration, rules: rulesOf(configuration) };
}

/** As `up` would put them on a host, but for interfaces that it finds out there. */
export function rulesOf({ services, table, interfaces }: Configuration): VipTable["rules"] {
	return services.flatMap((service) =>
		lowerService(service, {
			table,
			localOnly: true,
			signed: service.name !== service.vip.text,
			...(interfaces === undefined ? {} : { interfaces }),
		}),
	);
}

/** Rules of both datapaths, and the VIPs that `up` holds without any. */
async function observedTable(context: CliContext): Promise<Omit<VipTable, "reals">> {
	const host = SYSTEM_HOST;
	const datapath = await host.openDatapath(resolveSettings({}, context.env));
	const [observation, guard] = await Promise.all([datapath.observe(), host.guard()]);
	const rules = observation.rules.map(({ rule }) => rule);
	const { services, left } = raiseRules(rules);
	for (const { rule: index, why } of left) {
		const rule = rules[index];
		if (rule === undefined) continue;
		context.stderr.write(`no service: -t ${rule.table} -A ${rule.chain} ${formatRuleSpec(rule)}: ${why}\n`);
	}
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
	};
}
