/** `l3dsr check`: is the configuration valid, and is this host fit for it? Changes nothing. */
import type { Command } from "commander";
import { EXIT, type ExitCode } from "../errors.ts";
import { runChecks } from "../host/checks/all.ts";
import { type CheckFinding, type CheckInput, type Severity, titleOf } from "../host/checks/check.ts";
import { gatherFacts } from "../host/facts.ts";
import { signatureOf } from "../model/lower-service.ts";
import type { Rule } from "../model/rule.ts";
import { type CliContext, writeJson } from "./context.ts";
import { planChange } from "./services/change.ts";
import { type ServiceOptions, serviceCommand } from "./services/command.ts";
import { loadConfiguration } from "./services/configuration.ts";
import type { ServiceHost } from "./services/host.ts";
import { type Style, styleFor } from "./style.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	return serviceCommand(
		command,
		context,
		{
			description:
				"Reads the configuration and looks at this host, and explains what is wrong or unwise, and the remedy. " +
				"Exit code 1 when something is wrong with the host, 2 with the configuration.",
			config: true,
		},
		(host, options) => check(context, host, options),
	);
}

export async function check(
	context: CliContext,
	host: ServiceHost,
	options: Pick<ServiceOptions, "config" | "json">,
): Promise<ExitCode> {
	const { stdout, env } = context;
	const { configuration, source } = await loadConfiguration(host, options.config, env);
	const datapath = await host.openDatapath(configuration);
	const {
		observed: { state, interfaces },
		wish,
		stopped,
		assignment,
	} = await planChange(host, datapath, { configuration, elsewhere: async () => [] });
	const rules = state.rules.map(({ rule }) => rule).filter((rule) => signatureOf(rule) !== undefined);
	const input: CheckInput = {
		configuration: { ...configuration, services: wish.services },
		...(assignment.refused === undefined ? {} : { refused: assignment.refused.diagnostics[0] }),
		inNetfilter: new Set(
			assignment.rules.flatMap(({ entry: { rule }, datapath }) =>
				datapath === "nft" && signatureOf(rule) !== undefined ? [rule.family] : [],
			),
		),
		stopped,
		facts: gatherFacts(interfaces),
		guard: state.guard.guard,
		ruled: new Set(
			rules.flatMap((rule) => {
				const name = signatureOf(rule);
				return name === undefined ? [] : [titleOf({ name, vip: rule.target.daddr })];
			}),
		),
		served: servedInterfaces(rules),
	};
	const findings = runChecks(input);
	const count = (severity: Severity) => findings.filter((finding) => finding.severity === severity).length;
	const record = { configuration: source, services: configuration.services.length, findings };
	if (options.json === true) writeJson(stdout, record);
	else {
		const style = styleFor(stdout, env);
		for (const finding of findings) stdout.write(findingText(finding, style));
		const services = `${source}: ${countText(record.services, "service")}`;
		stdout.write(
			findings.length === 0
				? `${services}; this host is fit for them\n`
				: `${services}; ${countText(count("error"), "error")}, ${countText(count("warning"), "warning")}, ${countText(count("note"), "note")}\n`,
		);
	}
	return count("error") > 0 ? EXIT.failed : EXIT.done;
}

/** Undefined when nothing runs yet, or a rule means every interface. */
function servedInterfaces(rules: readonly Rule[]): Set<string> | undefined {
	if (rules.length === 0 || rules.some(({ header }) => header.inInterface?.wildcard !== false))
		return undefined;
	return new Set(rules.flatMap(({ header }) => header.inInterface?.name ?? []));
}

function findingText({ check: name, severity, message, remedy }: CheckFinding, style: Style): string {
	const title = `${severity}[${name}]`;
	return `${severity === "error" ? style.bad(title) : style.bold(title)}: ${message}\nremedy: ${remedy}\n`;
}

function countText(count: number, noun: string): string {
	return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
