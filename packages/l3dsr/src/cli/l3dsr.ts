/**
 * The `l3dsr` command: a table of subcommands, one file each, of which a run loads only the one it needs.
 *
 * Data goes to stdout and diagnostics to stderr; with `--json` both are JSON. Exit codes are those of
 * exit-codes.ts.
 */
import { realpathSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { L3dsrError } from "../errors.ts";
import { didYouMean } from "../syntax/suggest.ts";
import { type CliContext, finalExitCode, processContext } from "./context.ts";
import { endProcess } from "./end-process.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { VERSION } from "./package-version.ts";
import { printableContext } from "./printable-output.ts";
import { commandLineError, reportError } from "./report.ts";
import type { Subcommand } from "./subcommand.ts";

/** Help, man pages and completion are generated from this. */
export const SUBCOMMANDS: readonly Subcommand[] = [
	{ name: "up", summary: "apply the configuration to this host", load: () => import("./up.ts") },
	{ name: "down", summary: "remove what up has added", load: () => import("./down.ts") },
	{
		name: "agent",
		summary: "keep the configuration applied, as a service",
		streams: true,
		load: () => import("./agent.ts"),
	},
	{ name: "status", summary: "what runs, with counters (the default)", load: () => import("./status.ts") },
	{
		name: "top",
		summary: "what runs, with rates, full-screen",
		streams: true,
		load: () => import("./top.ts"),
	},
	{
		name: "check",
		summary: "is the configuration valid, and can this host serve it",
		load: () => import("./check.ts"),
	},
	{ name: "diff", summary: "where the host differs from the configuration", load: () => import("./diff.ts") },
	{
		name: "drain",
		summary: "on a director: send no new flows to a real server",
		load: () => import("./drain.ts"),
	},
	{ name: "enable", summary: "on a director: undo drain or disable", load: () => import("./enable.ts") },
	{
		name: "disable",
		summary: "on a director: send nothing to a real server",
		load: () => import("./disable.ts"),
	},
	{ name: "show", summary: "the rules that run here, with counters", load: () => import("./show.ts") },
	{
		name: "trace",
		summary: "what happens to this packet: rule by rule, before and after",
		streams: true,
		load: () => import("./trace.ts"),
	},
	{
		name: "probe",
		summary: "does that real server answer from the VIP? If not, why?",
		streams: true,
		load: () => import("./probe.ts"),
	},
	{
		name: "watch",
		summary: "print every rewritten packet, live",
		streams: true,
		load: () => import("./watch.ts"),
	},
	{
		name: "export",
		summary: "print the table of VIPs for nft, iptables-save, dsr.conf, A10, NetScaler, …",
		load: () => import("./export.ts"),
	},
	{
		name: "import",
		summary: "read the table of VIPs from iptables-save files and dsr.conf folders",
		load: () => import("./import.ts"),
	},
	{
		name: "lab",
		summary: "all of L3DSR on this machine: client, director, real servers, real traffic",
		streams: true,
		load: () => import("./lab.ts"),
	},
	{ name: "lab-worker", summary: "", hidden: true, load: () => import("./lab-worker.ts") },
	{ name: "real-names", summary: "", hidden: true, load: () => import("./real-names.ts") },
	{ name: "serve-http", summary: "", hidden: true, streams: true, load: () => import("./serve-http.ts") },
	{ name: "version", summary: "version, kernel and features", load: () => import("./version.ts") },
];

/** Entry of `bin/l3dsr`. Sets the process's exit code; the process ends when nothing is left to do. */
export async function main(programName: string): Promise<void> {
	const patient = !streams(process.argv.slice(2));
	const path = realpathSync(process.argv[1] ?? programName);
	const context = processContext(programName, process, path, { patient });
	const exitCode = await runL3dsr(context);
	if (patient) endProcess(process, context, exitCode);
	else process.exitCode = finalExitCode(process, exitCode);
}

/** Columns, if the output is not a terminal. */
const HELP_WIDTH = 80;

/** Runs one command line. Never throws: every failure is printed to `context.stderr` and sets the exit code. */
export async function runL3dsr(given: CliContext): Promise<ExitCode> {
	const context = printableContext(given);
	try {
		return await dispatch(context);
	} catch (error) {
		return reportError(context, error);
	}
}

async function dispatch(context: CliContext): Promise<ExitCode> {
	const argv = withDefault(context.argv);
	const wanted = wantedOf(argv);
	let exitCode: ExitCode = EXIT.done;
	let chosen: Command | undefined;
	if (argv[0] === "help" && wanted !== undefined && !SUBCOMMANDS.some(({ name }) => name === wanted)) {
		const hint = didYouMean(
			wanted,
			SUBCOMMANDS.filter(({ hidden }) => hidden !== true).map(({ name }) => name),
		);
		const message = `unknown command '${wanted}'`;
		throw new L3dsrError({
			code: "USAGE",
			message,
			hint: hint ?? `${context.programName} --help lists the choices`,
		});
	}

	const program = new Command(context.programName)
		.description("Layer-3 Direct Server Return: maps the DSCP of a packet to the VIP it was sent to.")
		.version(`${context.programName} ${VERSION}`, "-V, --version")
		.exitOverride()
		.configureOutput({
			writeOut: (text) => context.stdout.write(text),
			writeErr: () => {}, // the CommanderError carries the text, which is rendered like every error
			// commander's defaults ask process.stdout and process.stderr, which take as long to load as commander itself.
			getOutHelpWidth: () =>
				(context.stdout.isTTY === true ? context.terminal : undefined)?.size().columns ?? HELP_WIDTH,
			getErrHelpWidth: () => HELP_WIDTH,
			getOutHasColors: () => false,
			getErrHasColors: () => false,
		});
	// The others are there for help and suggestions.
	const only = SUBCOMMANDS.filter(({ name }) => name === argv[0]);
	for (const subcommand of only.length > 0 ? only : SUBCOMMANDS) {
		const command = program
			.command(subcommand.name, { hidden: subcommand.hidden === true })
			.description(subcommand.summary);
		if (subcommand.name !== wanted) continue;
		const module = await subcommand.load();
		chosen = command;
		command.option("--debug", "print the stack trace of an error");
		const run = module.define(command, context);
		command.action(async () => {
			exitCode = await run();
		});
	}
	try {
		await program.parseAsync(argv, { from: "user" });
	} catch (error) {
		if (!(error instanceof CommanderError)) throw error;
		if (error.exitCode === 0) return EXIT.done; // help or version, already printed
		const name = commandOf(context);
		if (error.code === "commander.excessArguments" && chosen !== undefined)
			throw excessArgument(name, chosen);
		const usage = error.code === "commander.missingArgument" ? chosen?.usage() : undefined;
		const hint = usage === undefined ? optionFirstHint(context) : `write ${name} ${usage}`;
		throw commandLineError(name, error.message, hint);
	}
	return exitCode;
}

/** Names the argument that is too many; usually it is a configuration without its -c. */
function excessArgument(name: string, { args, registeredArguments: known, options }: Command): L3dsrError {
	const excess = args[known.length] ?? "";
	const given = JSON.stringify(excess);
	const configured = options.some(({ long }) => long === "--config");
	return new L3dsrError({
		code: "USAGE",
		message:
			known.length === 0
				? `${name} takes no argument, but ${given} was given`
				: `${name} takes one argument, but ${given} was given too`,
		hint: configured
			? `a configuration is named with -c: ${name} -c ${/^[\w./-]+$/.test(excess) ? excess : "PATH"}`
			: `${name} --help lists the choices`,
	});
}

/** The next step if an option of a subcommand stands before its name: `l3dsr -c web.yaml up`. */
function optionFirstHint({ programName, argv }: CliContext): string | undefined {
	const [first = ""] = argv;
	if (!first.startsWith("-") || withDefault(argv) !== argv) return undefined;
	const name = SUBCOMMANDS.find((one) => one.hidden !== true && argv.includes(one.name))?.name ?? "status";
	return `the command comes first, then its options: ${programName} ${name} ${first.split("=")[0]} …`;
}

/** `l3dsr up` if the command line names that subcommand, else `l3dsr`. */
function commandOf({ programName, argv }: CliContext): string {
	const wanted = wantedOf(withDefault(argv));
	return SUBCOMMANDS.some(({ name }) => name === wanted) ? `${programName} ${wanted}` : programName;
}

/** The name of the subcommand. */
function wantedOf(argv: readonly string[]): string | undefined {
	const operands = argv.filter((argument) => !argument.startsWith("-"));
	return operands[0] === "help" ? operands[1] : operands[0];
}

/** Whether this command continues to work while it prints. */
function streams(argv: readonly string[]): boolean {
	const wanted = wantedOf(argv);
	return (
		SUBCOMMANDS.some((one) => one.name === wanted && one.streams === true) ||
		argv.some((argument) => /^--watch(=|$)/.test(argument))
	);
}

/** `l3dsr` and `l3dsr --json` show what runs, like wg(8). */
function withDefault(argv: readonly string[]): readonly string[] {
	const asksOfProgram = ["-h", "--help", "-V", "--version"].includes(argv[0] ?? "");
	return asksOfProgram || argv.some((argument) => !argument.startsWith("-")) ? argv : ["status", ...argv];
}
