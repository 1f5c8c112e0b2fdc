/** `l3dsr status`, and bare `l3dsr`: what runs, with counters. */
import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import { identifyStatus } from "../inspect/status/identify.ts";
import { withRates } from "../inspect/status/rates.ts";
import { type StatusRecord, statusOf } from "../inspect/status/status.ts";
import { DEFAULT_CONFIGURATION } from "../model/configuration.ts";
import { configuredTarget } from "../reconcile/configured-host.ts";
import { planHost } from "../reconcile/reconcile.ts";
import type { Observation } from "../rewrite/datapath.ts";
import { configurationIfThere, servicesElsewhere } from "../sources/configuration.ts";
import { wantedDirector } from "../sources/director.ts";
import { resolveSettings } from "../sources/settings.ts";
import { type CliContext, writeJson } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { interruptible } from "./interrupt.ts";
import { secondsOf } from "./option-values.ts";
import { VERSION } from "./package-version.ts";
import { type ServiceOptions, serviceCommand } from "./services/command.ts";
import type { ServiceHost } from "./services/host.ts";
import { lookAtDirector } from "./services/look-at-director.ts";
import { statusText } from "./services/status-text.ts";
import { rulesText } from "./show.ts";
import { styleFor } from "./style.ts";

interface StatusOptions extends Pick<ServiceOptions, "config" | "json"> {
	/** Seconds between two looks; true stands for one second. */
	readonly watch?: string | true;
}

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	command.option("--watch [seconds]", "go on, with rates per second (with --json: one record a line)");
	return serviceCommand(
		command,
		{
			description:
				"Shows the services of this host: whether they are up, what they have rewritten, and where the host is not " +
				"what its configuration says. Without a configuration: what the kernel has. " +
				"Exit code 0 when every service is up, 1 when one is not, 4 when the host differs otherwise.",
			config: true,
			privileged: "l3dsr status",
		},
		(host, options) => status(context, host, { ...options, ...command.opts<Pick<StatusOptions, "watch">>() }),
	);
}

export async function status(
	context: CliContext,
	host: ServiceHost,
	options: StatusOptions,
): Promise<ExitCode> {
	const { env } = context;
	const loaded = await configurationIfThere(host, options.config, env);
	const settings =
		loaded === undefined ? resolveSettings({}, env) : resolveSettings(loaded.given, env, { hook: "tc" });
	const datapath = await host.openDatapath(settings);
	const configuration = { ...(loaded?.configuration ?? DEFAULT_CONFIGURATION), ...settings };
	const elsewhere = () => servicesElsewhere(host, env);
	const wanted = loaded === undefined ? undefined : await wantedDirector(host, loaded);
	const target = configuredTarget(host, configuration, elsewhere, wanted);
	const look = async (): Promise<Look> => {
		const plan = await planHost(host, datapath, target);
		const director = await lookAtDirector(host, plan);
		const record = statusOf(plan, loaded, settings.datapath, director);
		return { record, observation: plan.observed.snapshot };
	};
	if (options.watch !== undefined) {
		const seconds = options.watch === true ? 1 : secondsOf("--watch", options.watch, "more than 0");
		await interruptible(context, (signal) =>
			watch(context, look, options.json === true, seconds * 1000, signal),
		);
		return EXIT.done;
	}
	const { record, observation } = await look();
	if (options.json === true) writeJson(context.stdout, "status", identifyStatus(record, VERSION));
	else if (loaded === undefined && record.services.length === 0 && record.director === undefined) {
		context.stdout.write(rulesText(context, observation));
	} else context.stdout.write(statusText(record, styleFor(context.stdout, context.env), false));
	return exitCodeOf(record);
}

/** For scripts and monitoring: a service that does not run weighs more than a difference that harms none. */
function exitCodeOf({ services, director, drift, refused }: StatusRecord): ExitCode {
	if (services.some(({ state }) => state === "down" || state === "partial")) return EXIT.failed;
	if (director?.programs.length === 0 || director?.services.some(({ state }) => state === "down"))
		return EXIT.failed;
	return drift.length > 0 || refused !== undefined ? EXIT.drift : EXIT.done;
}

interface Look {
	readonly record: StatusRecord;
	readonly observation: Observation;
}

async function watch(
	context: CliContext,
	look: () => Promise<Look>,
	json: boolean,
	intervalMs: number,
	signal: AbortSignal,
): Promise<void> {
	const { stdout, env } = context;
	const style = styleFor(stdout, env);
	let before: StatusRecord | undefined;
	let lookedAt = performance.now();
	while (!signal.aborted) {
		const { record } = await look();
		const now = performance.now();
		const elapsed = now - lookedAt;
		const rated = withRates(record, before, elapsed);
		if (json) writeJson(stdout, "status", identifyStatus(rated, VERSION), { lines: true });
		else {
			if (stdout.isTTY === true) stdout.write(Buffer.from("\u001b[H\u001b[2J"));
			stdout.write(statusText(rated, style, true));
		}
		before = record;
		lookedAt = now;
		await delay(intervalMs, undefined, { signal }).catch(() => {});
	}
}
