/** `l3dsr export FORMAT`: prints the table of VIPs in the formats of other programs and directors. */
import { type Command, InvalidArgumentError } from "commander";
import { configuredTable, observedTable } from "../inspect/vip-table.ts";
import { resolveSettings } from "../sources/settings.ts";
import type { VipTable } from "../syntax/export/vip-table.ts";
import { formatRuleSpec } from "../syntax/iptables/rule-format.ts";
import type { CliContext } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
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
			"Prints the table of VIPs in another format: what runs on this host, or with -c a configuration. " +
				"Names on stderr what the format cannot express.",
		)
		.argument("<format>", "one of the formats below")
		.option("-c, --config <path>", "a configuration instead of what runs here; needs no root")
		.option("--real <address>", "a real server, for a director's formats; repeatable", collectAddress)
		.option("--netns <name>", "run in this network namespace (ip netns)")
		.option("--json", "print the text, and what was left out, as JSON")
		.addHelpText("after", () => `\nFormats:\n${formatsHelp()}\n`);
	return async () => {
		const options = command.opts<Options>();
		const [name = ""] = command.args;
		return await inNamespace(options, async () => {
			const { format, reals } = formatFor(name, options);
			const table =
				options.config === undefined
					? await offeringConfiguration("l3dsr export", () => runningTable(context))
					: await configuredTable(SYSTEM_HOST, options.config, context.env);
			printTable(context, name, format, { ...table, reals }, options);
			return EXIT.done;
		});
	};
}

export function collectAddress(value: string, before: readonly string[] | undefined): readonly string[] {
	if (value === "") throw new InvalidArgumentError("it is empty");
	return [...(before ?? []), value];
}

/** The table of this host; rules that do not belong to a service are named on stderr. */
async function runningTable(context: CliContext): Promise<Omit<VipTable, "reals">> {
	const { left, ...table } = await observedTable(SYSTEM_HOST, resolveSettings({}, context.env));
	for (const { rule, why } of left) {
		context.stderr.write(`no service: -t ${rule.table} -A ${rule.chain} ${formatRuleSpec(rule)}: ${why}\n`);
	}
	return table;
}
