/**
 * `dsrctl`: starts, stops and shows the services of `/etc/dsr.d/*.conf`, a drop-in for the tool of that name:
 * the same files, options, words and exit codes. docs/reference/dsrctl.md is its manual.
 */
import { DEFAULT_CONFIGURATION } from "../model/configuration.ts";
import type { Table } from "../model/rule.ts";
import type { WrittenService } from "../model/service.ts";
import type { ServiceHost } from "../plan/service-host.ts";
import { reportServices, type ServiceReport } from "../plan/service-status.ts";
import { partServices } from "../plan/startable.ts";
import { describeFinding, isAbsence, isFatal, isFault } from "../syntax/dsr-conf.ts";
import { type CliContext, finalExitCode, processContext } from "./context.ts";
import { type DsrctlCommand, parseArguments, usage } from "./dsrctl/arguments.ts";
import { changeHost, type Goal, observeHost, startGoal, stopGoal } from "./dsrctl/change.ts";
import { readConfiguration } from "./dsrctl/configuration.ts";
import { type DsrctlHost, systemHost } from "./dsrctl/host.ts";
import { duplicateLines, renderReport } from "./dsrctl/table.ts";
import { interruptible } from "./interrupt.ts";
import { VERSION } from "./package-version.ts";
import { reportError } from "./report.ts";

/** The original's. */
const EXIT = { done: 0, failed: 1, notAll: 3 } as const;

/** Entry of `bin/dsrctl`. Sets the process's exit code. */
export async function main(programName: string): Promise<void> {
	const context = processContext(programName, process, process.argv[1] ?? programName);
	process.exitCode = finalExitCode(process, await runDsrctl(context, systemHost(context)));
}

/** Runs one command line. Never throws: what is wrong is printed, and told by the exit code. */
export async function runDsrctl(context: CliContext, host: DsrctlHost): Promise<number> {
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
	if (!host.isRoot) {
		context.stderr.write("You must be root to run this command.\n");
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
	/** A line of the configuration is at fault: what needs all of it is refused. */
	readonly faulty: boolean;
	readonly table: Table;
}

async function run(command: DsrctlCommand, context: CliContext, host: DsrctlHost): Promise<number> {
	const { services, findings, files } = await readConfiguration(host, command, context.env);
	if (command.verbosity > 1) for (const file of files) context.stdout.write(`read ${file}\n`);
	const checking = command.action === "check";
	for (const finding of findings) {
		if (isFatal(finding) || isAbsence(finding)) context.stderr.write(`${describeFinding(finding)}\n`);
		// The answer of a check is one line.
		else if (!checking || command.verbosity > 0) context.stdout.write(`${describeFinding(finding)}\n`);
	}
	const fatal = findings.find(isFatal);
	if (fatal !== undefined) {
		if (fatal.kind === "unrecognized") {
			context.stderr.write("Aborting.\n");
			if (checking) context.stderr.write("DSR configuration error discovered.\n");
		}
		return EXIT.failed;
	}
	const table = await readTableSetting(host);
	const given: Run = { command, context, host, services, faulty: findings.some(isFault), table };
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

async function readTableSetting(host: DsrctlHost): Promise<Table> {
	const settings = host.readSettings();
	if (settings === undefined) return DEFAULT_CONFIGURATION.table;
	const { parseTableSetting } = await import("../syntax/config/table-setting.ts");
	return parseTableSetting(settings.text, settings.source);
}

async function report(
	{ command, context, host, services, table }: Run,
	discovered: boolean,
): Promise<ServiceReport> {
	const observed = await observeHost(host, host.openDatapath());
	for (const { object, problem } of observed.observation.findings) {
		context.stderr.write(`warning: ${object}: ${problem}\n`);
	}
	return reportServices(observed, services, {
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
	if (rows.every(({ state }) => state === "started")) {
		context.stdout.write("All DSRs started.\n");
		return EXIT.done;
	}
	if (rows.every(({ state }) => state === "stopped")) {
		context.stdout.write("No DSRs started.\n");
		return EXIT.failed;
	}
	context.stdout.write("Some DSRs not started.\n");
	return EXIT.notAll;
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

async function change({ command, context, host, services, faulty, table }: Run): Promise<number> {
	const { action, discovered, insert, dryRun, verbosity } = command;
	const stopAll = discovered && action !== "start";
	// All or nothing: a line that is not a service keeps the others from being started.
	const refused = action !== "stop" && faulty;
	const goals: Goal[] = [];
	const configured = services.map(({ service }) => service);
	if (action !== "start" && (stopAll || configured.length > 0)) goals.push(stopGoal(configured, stopAll));
	if (action !== "stop" && !refused && configured.length > 0) {
		const { startable } = partServices(configured, { ipv6: host.hasIpv6() });
		goals.push(startGoal(startable, { table, insert }));
	}
	const onStep = (step: string) => {
		if (verbosity > 0) context.stdout.write(`${step}\n`);
	};
	const onFound = (found: ServiceHost) => {
		const { duplicates } = reportServices(found, services, { ipv6: host.hasIpv6(), table, discovered });
		context.stdout.write(duplicateLines(duplicates));
	};
	const whole = (work: () => Promise<void>) => interruptible(context, work);
	if (goals.length > 0) {
		await changeHost(host, host.openDatapath(), goals, { dryRun, insert, onFound, onStep, whole });
	}
	return refused ? EXIT.failed : EXIT.done;
}
