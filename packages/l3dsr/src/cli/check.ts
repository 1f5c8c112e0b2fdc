/** `l3dsr check`: is the configuration valid, and is this host fit for it? Changes nothing. */
import type { Command } from "commander";
import type { CheckFinding, Severity } from "../host/checks/check.ts";
import { checkHost } from "../inspect/check/check-host.ts";
import { configuredTarget } from "../reconcile/configured-host.ts";
import { planHost } from "../reconcile/reconcile.ts";
import { loadConfiguration } from "../sources/configuration.ts";
import { resolveSettings } from "../sources/settings.ts";
import { type CliContext, writeJson } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { type ServiceOptions, serviceCommand } from "./services/command.ts";
import type { ServiceHost } from "./services/host.ts";
import { type Style, styleFor } from "./style.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	return serviceCommand(
		command,
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
	const { configuration, given, source } = await loadConfiguration(host, options.config, env);
	const settings = resolveSettings(given, env, { hook: "tc" });
	const resolved = { ...configuration, ...settings };
	const target = configuredTarget(host, resolved, async () => []);
	const plan = await planHost(host, await host.openDatapath(settings), target);
	const findings = checkHost(resolved, plan);
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

function findingText({ check: name, severity, message, remedy }: CheckFinding, style: Style): string {
	const title = `${severity}[${name}]`;
	return `${severity === "error" ? style.bad(title) : style.bold(title)}: ${message}\nremedy: ${remedy}\n`;
}

function countText(count: number, noun: string): string {
	return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
