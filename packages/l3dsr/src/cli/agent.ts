/** `l3dsr agent`: keeps the configuration applied to this host, until it is stopped. */
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { Agent } from "../agent/agent.ts";
import type { AgentHost } from "../agent/effects.ts";
import { isJournalOnStderr, Journal } from "../agent/journal.ts";
import type { AgentRecord, Severity } from "../agent/record.ts";
import { recordLines } from "../agent/record-text.ts";
import { ServiceManager } from "../agent/service-manager.ts";
import type { AgentState } from "../agent/state.ts";
import { SYSTEM_AGENT_EFFECTS } from "../agent/system-effects.ts";
import { becomeAgent } from "../host/agent-presence.ts";
import { KeptNftables } from "../host/kept-nftables.ts";
import { keepHeapSmall } from "../host/small-heap.ts";
import { applyGuard, guardObserver } from "../host/vip-guard.ts";
import { SpareTables } from "../reconcile/spare-tables.ts";
import { openDatapath } from "../rewrite/host-datapath.ts";
import { serveAgent } from "../serve/follow.ts";
import { type CliContext, writeJson } from "./context.ts";
import { diagnosticsOf } from "./error-table.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { VERSION } from "./package-version.ts";
import { type ServiceOptions, serviceCommand } from "./services/command.ts";

export function define(command: Command, context: CliContext): () => Promise<ExitCode> {
	return serviceCommand(
		command,
		{
			description:
				"Applies the configuration to this host, as up does, and keeps it applied: monitors interfaces, " +
				"addresses, rules, programs and its files, and repairs what differs. Reports what it does on standard error, " +
				"or in the journal under systemd. Ends with SIGTERM or Ctrl-C and leaves the services up; " +
				"SIGHUP reads the configuration again.",
			config: true,
			privileged: "l3dsr agent",
		},
		async (host, options) => {
			using kept = new DisposableStack();
			const nftables = kept.adopt(new KeptNftables(), (one) => one.close());
			return await agent(context, { ...host, ...throughSocket(nftables) }, options);
		},
	);
}

/** What a host does with nf_tables, through one socket that stays open. */
function throughSocket(
	nftables: KeptNftables,
): Pick<AgentHost, "guard" | "applyGuard" | "openDatapath" | "spare"> {
	const open = () => nftables;
	const guard = guardObserver(open);
	return {
		guard: async () => guard(),
		applyGuard: async (desired, observed) => applyGuard(desired, observed, open),
		openDatapath: async (settings, memory) => openDatapath(settings, memory, open),
		spare: new SpareTables(open),
	};
}

const ENDING = ["SIGTERM", "SIGINT"] as const;

export async function agent(
	context: CliContext,
	host: AgentHost,
	options: Pick<ServiceOptions, "config" | "json">,
): Promise<ExitCode> {
	const { env } = context;
	const configuration = resolve(options.config);
	using opened = new DisposableStack();
	opened.use(await becomeAgent({ process: process.pid, configuration }));
	const manager = opened.use(
		new ServiceManager({
			socket: env["NOTIFY_SOCKET"],
			watchdogUs: env["WATCHDOG_USEC"],
			watchdogProcess: env["WATCHDOG_PID"],
		}),
	);
	const stop = new AbortController();
	const loop = new Agent({
		host,
		effects: SYSTEM_AGENT_EFFECTS,
		configuration,
		env,
		version: VERSION,
		diagnosticsOf,
		stop: stop.signal,
	});
	const journal = isJournalOnStderr(env) ? opened.use(new Journal()) : undefined;
	opened.use(loop.subscribe((record) => tell(context, journal, record, options.json === true)));
	opened.use(loop.subscribe(() => manager.status(summary(loop))));
	onSignals(opened, ENDING, (signal) => {
		manager.stopping();
		stop.abort(signal);
	});
	onSignals(opened, ["SIGHUP"], () => {
		manager.reloading(performance.now());
		loop.reload();
	});
	opened.use(loop.onRun(() => manager.ready(summary(loop))));
	opened.use(
		serveAgent(loop, {
			version: VERSION,
			diagnosticsOf,
			// Started like this process, but with its own hash seed: clients choose what it fills hash tables with.
			command: [
				process.execPath,
				...process.execArgv.filter((flag) => flag !== "--no-rehash-snapshot"),
				context.programPath,
				"serve-http",
			],
			page: join(dirname(context.programPath), "../dist/web"),
			onProblem: (problem) => context.stderr.write(`warning: ${problem}\n`),
		}),
	);
	keepHeapSmallAfterStart(opened, loop);
	await loop.run();
	return EXIT.done;
}

/** Startup code comes from caches that V8 accepts only with the flags that they were made with. */
function keepHeapSmallAfterStart(opened: DisposableStack, loop: Agent): void {
	const first = opened.use(
		loop.onRun(() => {
			first[Symbol.dispose]();
			keepHeapSmall();
		}),
	);
}

function onSignals(
	opened: DisposableStack,
	signals: readonly NodeJS.Signals[],
	act: (signal: NodeJS.Signals) => void,
): void {
	for (const signal of signals) {
		process.on(signal, act);
		opened.defer(() => process.off(signal, act));
	}
}

/** Writes to the journal, or to standard error if there is no journal or it is full. */
function tell(context: CliContext, journal: Journal | undefined, record: AgentRecord, json: boolean): void {
	if (journal?.write(record) === true) return;
	if (json)
		writeJson(
			context.stderr,
			"agent-event",
			{ ...record, message: recordLines(record)[0] ?? record.kind },
			{ lines: true },
		);
	else context.stderr.write(`${plainLines(record).join("\n")}\n`);
}

const LABEL: Readonly<Record<Severity, string>> = {
	info: "",
	notice: "",
	warning: "warning: ",
	error: "error: ",
};

/** The headline with the time, and its details below it, indented. */
function plainLines(record: AgentRecord): string[] {
	const [headline = "", ...rest] = recordLines(record);
	return [`${record.time} ${LABEL[record.severity]}${headline}`, ...rest.map((line) => `    ${line}`)];
}

/** One line for `systemctl status`. */
function summary(state: AgentState): string {
	const { condition, configuration, counts } = state.view();
	const repairs = Object.values(counts.repairs).reduce((sum, count) => sum + count, 0);
	const refused =
		configuration.refused === undefined ? "" : "; the configuration as it is now cannot be used";
	const services = `${configuration.services} service${configuration.services === 1 ? "" : "s"}`;
	return `${condition}: ${services}, ${repairs} repair${repairs === 1 ? "" : "s"}${refused}`;
}
