/**
 * `dsrctl`: starts, stops and shows the services of `/etc/dsr.d/*.conf`, a drop-in for the tool of that name:
 * the same files, options, words and exit codes. docs/reference/dsrctl.md is its manual.
 */
import { privilegeMissing } from "../host/capabilities.ts";
import { describeStep } from "../inspect/describe-step.ts";
import { explaining } from "../inspect/failure-text.ts";
import type { DatapathSettings } from "../model/configuration.ts";
import type { Table } from "../model/rule.ts";
import type { WrittenService } from "../model/service.ts";
import type { Step } from "../plan/host-state.ts";
import { reportServices, type ServiceReport, type Started, startedOf } from "../plan/service-status.ts";
import { type ObservedHost, observeHost } from "../reconcile/observe.ts";
import { reconcile, rehearse } from "../reconcile/reconcile.ts";
import { dsrctlTargets } from "../reconcile/start-stop.ts";
import { readDsrctlServices } from "../sources/dsr-conf.ts";
import { readHostSettings } from "../sources/host-settings.ts";
import { resolveSettings } from "../sources/settings.ts";
import { describeFinding, isAbsence, isFatal, isFault } from "../syntax/dsr-conf.ts";
import { type CliContext, processContext } from "./context.ts";
import { type DsrctlCommand, parseArguments, usage } from "./dsrctl/arguments.ts";
import { type DsrctlHost, systemHost } from "./dsrctl/host.ts";
import { duplicateLines, renderReport } from "./dsrctl/table.ts";
import { endProcess } from "./end-process.ts";
import { interruptible } from "./interrupt.ts";
import { sayWaiting } from "./lock-wait.ts";
import { VERSION } from "./package-version.ts";
import { printableContext } from "./printable-output.ts";
import { reportError } from "./report.ts";

/** The original's. */
const EXIT = { done: 0, failed: 1, notAll: 3 } as const;

/** What `check` prints, and its exit code. */
const CHECKED: Readonly<Record<Started, { readonly text: string; readonly exit: number }>> = {
	all: { text: "All DSRs started.", exit: EXIT.done },
	none: { text: "No DSRs started.", exit: EXIT.failed },
	some: { text: "Some DSRs not started.", exit: EXIT.notAll },
};

/** Entry of `bin/dsrctl`. Sets the process's exit code. */
export async function main(programName: string): Promise<void> {
	const context = processContext(programName, process, process.argv[1] ?? programName);
	endProcess(process, context, await runDsrctl(context, systemHost()));
}

/** Runs one command line. Never throws: errors are printed, and set the exit code. */
export async function runDsrctl(given: CliContext, host: DsrctlHost): Promise<number> {
	const context = printableContext(given);
	const command = parseArguments(context.programName, context.argv);
	if (command.kind === "usage") {
		context.stdout.write(usage(context.programName));
		return EXIT.done;
	}
	if (command.kind === "version") {
		context.stdout.write(`${context.programName} ${VERSION}\n`);
		return EXIT.done;
	}
	if (command.kind === "bad") {
		context.stderr.write(`${command.message}\n`);
		return EXIT.failed;
	}
	const { missing } = host;
	if (missing !== undefined) {
		if (host.isRoot) reportError(context, privilegeMissing(context.programName, "network", missing));
		else context.stderr.write("You must be root to run this command.\n");
		return EXIT.failed;
	}
	try {
		return await run(command, context, host);
	} catch (error) {
		reportError(context, error);
		return EXIT.failed;
	}
}

/** One run's surroundings. */
interface Run {
	readonly command: DsrctlCommand;
	readonly context: CliContext;
	readonly host: DsrctlHost;
	readonly services: readonly WrittenService[];
	/** A line of the configuration is invalid: actions that need the whole configuration are refused. */
	readonly faulty: boolean;
	readonly table: Table;
	readonly settings: DatapathSettings;
}

async function run(command: DsrctlCommand, context: CliContext, host: DsrctlHost): Promise<number> {
	const { services, findings, files } = await readDsrctlServices(host, command, context.env);
	if (command.verbosity > 1) for (const file of files) context.stdout.write(`read ${file}\n`);
	const checking = command.action === "check";
	for (const finding of findings) {
		if (isFatal(finding) || isAbsence(finding)) context.stderr.write(`${describeFinding(finding)}\n`);
		// `check` prints a single line.
		else if (!checking || command.verbosity > 0) context.stdout.write(`${describeFinding(finding)}\n`);
	}
	const fatal = findings.find(isFatal);
	if (fatal !== undefined) {
		if (fatal.kind === "unrecognized") {
			if (fatal.hint !== undefined) context.stderr.write(`hint: ${fatal.hint}\n`);
			context.stderr.write("Aborting.\n");
			if (checking) context.stderr.write("DSR configuration error discovered.\n");
		}
		return EXIT.failed;
	}
	const { table, given: fromFile } = await readHostSettings(host);
	const settings = resolveSettings(fromFile, context.env);
	const given: Run = { command, context, host, services, faulty: findings.some(isFault), table, settings };
	switch (command.action) {
		case "check":
			return check(given);
		case "status":
			return status(given);
		case "start":
		case "stop":
		case "restart":
			return change(given);
	}
}

async function report(
	{ command, context, host, services, table, settings }: Run,
	discovered: boolean,
): Promise<ServiceReport> {
	const datapath = await host.openDatapath(settings);
	const { state } = await observeHost(host, datapath, "services");
	for (const { object, problem } of state.findings) {
		context.stderr.write(`warning: ${object}: ${problem}\n`);
	}
	return reportServices(state, services, {
		ipv6: host.hasIpv6(),
		table,
		discovered: discovered && command.discovered,
	});
}

async function check(given: Run): Promise<number> {
	const { context, services, faulty } = given;
	if (faulty) {
		context.stderr.write("DSR configuration error discovered.\n");
		return EXIT.failed;
	}
	if (services.length === 0) {
		context.stdout.write("No configured DSRs found.\n");
		return EXIT.notAll;
	}
	const { rows } = await report(given, false);
	const { text, exit } = CHECKED[startedOf(rows)];
	context.stdout.write(`${text}\n`);
	return exit;
}

async function status(given: Run): Promise<number> {
	const { command, context, services, faulty } = given;
	if (services.length === 0 && !command.discovered) {
		context.stdout.write("No configured DSRs found.\n");
		return EXIT.done;
	}
	const found = await report(given, true);
	if (found.rows.length === 0) context.stdout.write("No loopback aliases or iptables rules found.\n");
	else context.stdout.write(renderReport(found, command));
	return services.length > 0 && faulty ? EXIT.failed : EXIT.done;
}

async function change({ command, context, host, services, faulty, table, settings }: Run): Promise<number> {
	const { discovered, insert, dryRun, verbosity } = command;
	const { stdout } = context;
	const { targets, refused } = dsrctlTargets(host, services, { ...command, faulty, table });
	const print = (step: Step): void => {
		if (verbosity === 0) return;
		for (const line of describeStep(step, { insert })) stdout.write(`${line}\n`);
	};
	const onFound = ({ state }: ObservedHost): void => {
		const { duplicates } = reportServices(state, services, { ipv6: host.hasIpv6(), table, discovered });
		stdout.write(duplicateLines(duplicates));
	};
	if (targets.length > 0) {
		const datapath = await host.openDatapath(settings);
		await explaining(async () => {
			if (dryRun) {
				const plans = await rehearse(host, datapath, targets, { onFound });
				for (const { steps } of plans) steps.forEach(print);
				return;
			}
			using _lock = await host.lock(Number.POSITIVE_INFINITY, sayWaiting(context));
			await interruptible(context, () => reconcile(host, datapath, targets, { onFound, onStep: print }));
		});
	}
	return refused ? EXIT.failed : EXIT.done;
}
