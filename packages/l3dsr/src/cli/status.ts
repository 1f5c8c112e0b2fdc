/** `l3dsr status`, and bare `l3dsr`: what runs, with counters. */
import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import { EXIT, type ExitCode, L3dsrError } from "../errors.ts";
import { type DatapathChoice, DEFAULT_CONFIGURATION } from "../model/configuration.ts";
import { signatureOf } from "../model/lower-service.ts";
import { driftOf } from "../plan/drift.ts";
import type { Assignment } from "../rewrite/assign.ts";
import type { Observation } from "../rewrite/datapath.ts";
import { tcChecksum } from "../rewrite/ebpf/kernel/checksum-state.ts";
import type { HostDatapath } from "../rewrite/host-datapath.ts";
import { type CliContext, writeJson } from "./context.ts";
import { interruptible } from "./interrupt.ts";
import { planChange } from "./services/change.ts";
import { type ServiceOptions, serviceCommand } from "./services/command.ts";
import { type LoadedConfiguration, loadConfiguration, servicesElsewhere } from "./services/configuration.ts";
import { CONFIG_FILE, type ServiceHost } from "./services/host.ts";
import { rateOf, type ServiceRow, serviceRows } from "./services/service-rows.ts";
import { type StatusRecord, statusText } from "./services/status-text.ts";
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
		context,
		{
			description:
				"Shows the services of this host: whether they are up, what they have rewritten, and where the host is not " +
				"what its configuration says. Without a configuration: what the kernel has.",
			config: true,
		},
		(host, options) => status(context, host, { ...options, ...command.opts<Pick<StatusOptions, "watch">>() }),
	);
}

export async function status(
	context: CliContext,
	host: ServiceHost,
	options: StatusOptions,
): Promise<ExitCode> {
	const loaded = await configurationOrNone(context, host, options.config);
	const datapath = await host.openDatapath(loaded?.configuration ?? DEFAULT_CONFIGURATION);
	const look = () => statusRecord(context, host, datapath, loaded);
	if (options.watch !== undefined) {
		const seconds = options.watch === true ? 1 : Number(options.watch);
		if (!(seconds > 0))
			throw new L3dsrError({ code: "USAGE", message: `"${options.watch}" is not a number of seconds` });
		await interruptible(context, (signal) =>
			watch(context, look, options.json === true, seconds * 1000, signal),
		);
		return EXIT.done;
	}
	const { record, observation } = await look();
	if (options.json === true) writeJson(context.stdout, record);
	else if (loaded === undefined && record.services.length === 0) {
		context.stdout.write(rulesText(context, observation));
	} else context.stdout.write(statusText(record, styleFor(context.stdout, context.env), false));
	return EXIT.done;
}

/** Undefined when there is no file and none was asked for by name. */
async function configurationOrNone(
	{ env }: CliContext,
	host: ServiceHost,
	path: string,
): Promise<LoadedConfiguration | undefined> {
	try {
		if (path === CONFIG_FILE) host.readFile(path);
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
	}
	return await loadConfiguration(host, path, env);
}

interface Look {
	readonly record: StatusRecord;
	readonly observation: Observation;
}

async function statusRecord(
	{ env }: CliContext,
	host: ServiceHost,
	datapath: HostDatapath,
	loaded: LoadedConfiguration | undefined,
): Promise<Look> {
	const configuration = loaded?.configuration ?? DEFAULT_CONFIGURATION;
	const elsewhere = () => servicesElsewhere(host, env);
	const {
		observed,
		wish,
		stopped,
		assignment,
		steps: all,
	} = await planChange(host, datapath, { configuration, elsewhere });
	const { state, observation } = observed;
	const steps = loaded === undefined ? [] : all;
	const engines = [...new Set(observation.rules.map((rule) => rule.datapath))].sort();
	const record: StatusRecord = {
		configuration: loaded?.source ?? null,
		datapath: {
			engines,
			why: reasonText(configuration.datapath, assignment),
			...(engines.includes("ebpf") ? { tcChecksum: tcChecksum() } : {}),
		},
		services: serviceRows(
			{ services: loaded?.configuration.services, lowering: wish.lowering, stopped },
			state,
			observation.rules,
		),
		drift: driftOf(state, { steps, services: configuration.services, stopped }).map(
			({ object, problem }) => ({ object, problem }),
		),
		...(assignment.refused === undefined ? {} : { refused: assignment.refused.message }),
		otherRules: observation.rules.filter(({ rule }) => signatureOf(rule) === undefined).length,
	};
	return { record, observation };
}

/** Why the rules of services run where they run. */
function reasonText(choice: DatapathChoice, { rules }: Assignment): string {
	const reasons = rules
		.filter(({ entry }) => signatureOf(entry.rule) !== undefined)
		// Of a choice, only why not.
		.filter(({ datapath }) => datapath !== choice)
		.map(({ reason }) => reason);
	const chosen = choice === "auto" ? "auto" : "as configured";
	return [chosen, [...new Set(reasons)].join("; ")].filter((part) => part !== "").join(": ");
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
	let before: readonly ServiceRow[] = [];
	let lookedAt = performance.now();
	while (!signal.aborted) {
		const { record } = await look();
		const now = performance.now();
		const elapsed = now - lookedAt;
		const services = record.services.map((row) => ({ ...row, rate: rateOf(row, before, elapsed) }));
		if (json) writeJson(stdout, { ...record, services }, { lines: true });
		else {
			if (stdout.isTTY === true) stdout.write("\u001b[H\u001b[2J");
			stdout.write(statusText({ ...record, services }, style, true));
		}
		before = record.services;
		lookedAt = now;
		await delay(intervalMs, undefined, { signal }).catch(() => {});
	}
}
