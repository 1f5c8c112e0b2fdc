/**
 * The `l3dsr` command: a table of subcommands, one file each, of which a run loads only the one it needs.
 *
 * Data goes to stdout and diagnostics to stderr; with `--json` both are JSON. Exit codes are those of
 * src/errors.ts.
 */
import { realpathSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { L3dsrError } from "../errors.ts";
import { didYouMean } from "../syntax/suggest.ts";
import { type CliContext, finalExitCode, processContext } from "./context.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";
import { VERSION } from "./package-version.ts";
import { printableContext } from "./printable-output.ts";
import { commandLineError, reportError } from "./report.ts";
import type { Subcommand } from "./subcommand.ts";

/** Help, man pages and completion are made from this. */
export const SUBCOMMANDS: readonly Subcommand[] = [
	{ name: "up", summary: "make this host what its configuration says", load: () => import("./up.ts") },
	{ name: "down", summary: "take away what up has put there", load: () => import("./down.ts") },
	{
		name: "agent",
		summary: "keep this host what its configuration says, as a service",
		streams: true,
		load: () => import("./agent.ts"),
	},
	{ name: "status", summary: "what runs, with counters (the default)", load: () => import("./status.ts") },
	{
		name: "top",
		summary: "what runs, with rates, on a screen of its own",
		streams: true,
		load: () => import("./top.ts"),
	},
	{
		name: "check",
		summary: "is the configuration valid, is this host fit for it",
		load: () => import("./check.ts"),
	},
	{ name: "diff", summary: "what is not as the configuration says", load: () => import("./diff.ts") },
	{
		name: "drain",
		summary: "on a director: send no new flows to a real server",
		load: () => import("./drain.ts"),
	},
	{ name: "enable", summary: "on a director: take drain or disable back", load: () => import("./enable.ts") },
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
		summary: "every packet that is rewritten, as it happens",
		streams: true,
		load: () => import("./watch.ts"),
	},
	{
		name: "export",
		summary: "the table of VIPs as nft, iptables-save, dsr.conf, A10, NetScaler … write it",
		load: () => import("./export.ts"),
	},
	{
		name: "import",
		summary: "the table of VIPs out of iptables-save files and dsr.conf folders",
		load: () => import("./import.ts"),
	},
	{
		name: "lab",
		summary: "all of L3DSR on this machine: client, director, real servers, real traffic",
		streams: true,
		load: () => import("./lab.ts"),
	},
	{ name: "lab-agent", summary: "", hidden: true, load: () => import("./lab-agent.ts") },
	{ name: "serve-http", summary: "", hidden: true, streams: true, load: () => import("./serve-http.ts") },
	{ name: "version", summary: "what this is and what it runs on", load: () => import("./version.ts") },
];

/** Entry of `bin/l3dsr`. Sets the process's exit code; the process ends when nothing is left to do. */
export async function main(programName: string): Promise<void> {
	const context = processContext(programName, process, realpathSync(process.argv[1] ?? programName), {
		patient: !streams(process.argv.slice(2)),
	});
	process.exitCode = finalExitCode(process, await runL3dsr(context));
}

/** Runs one command line. Never throws: every failure is printed to `context.stderr` and told by the exit code. */
export async function runL3dsr(given: CliContext): Promise<ExitCode> {
	const context = printableContext(given);
	try {
		return await dispatch(context);
	} catch (error) {
		if (error instanceof CommanderError) {
			if (error.exitCode === 0) return EXIT.done; // help or version, already printed
			return reportError(context, commandLineError(commandOf(context), error.message));
		}
		return reportError(context, error);
	}
}

async function dispatch(context: CliContext): Promise<ExitCode> {
	const argv = withDefault(context.argv);
	const wanted = wantedOf(argv);
	let exitCode: ExitCode = EXIT.done;
	if (argv[0] === "help" && wanted !== undefined && !SUBCOMMANDS.some(({ name }) => name === wanted)) {
		const hint = didYouMean(
			wanted,
			SUBCOMMANDS.filter(({ hidden }) => hidden !== true).map(({ name }) => name),
		);
		const message = `unknown command '${wanted}'`;
		throw new L3dsrError({
			code: "USAGE",
			message,
			hint: hint ?? `${context.programName} --help lists what there is`,
		});
	}

	const program = new Command(context.programName)
		.description("Layer-3 Direct Server Return: maps the DSCP of a packet to the VIP it was sent to.")
		.version(`${context.programName} ${VERSION}`, "-V, --version")
		.exitOverride()
		.configureOutput({
			writeOut: (text) => context.stdout.write(text),
			writeErr: () => {}, // what it says comes with the CommanderError, and is rendered as every error is
		});
	for (const subcommand of SUBCOMMANDS) {
		const command = program
			.command(subcommand.name, { hidden: subcommand.hidden === true })
			.description(subcommand.summary);
		if (subcommand.name !== wanted) continue;
		const module = await subcommand.load();
		command.option("--debug", "show where an error came from");
		const run = module.define(command, context);
		command.action(async () => {
			exitCode = await run();
		});
	}
	await program.parseAsync(argv, { from: "user" });
	return exitCode;
}

/** `l3dsr up` where that is what the command line is about, else `l3dsr`. */
function commandOf({ programName, argv }: CliContext): string {
	const wanted = wantedOf(withDefault(argv));
	return SUBCOMMANDS.some(({ name }) => name === wanted) ? `${programName} ${wanted}` : programName;
}

/** The name of the subcommand. */
function wantedOf(argv: readonly string[]): string | undefined {
	const operands = argv.filter((argument) => !argument.startsWith("-"));
	return operands[0] === "help" ? operands[1] : operands[0];
}

/** Whether this command line goes on working while it prints. */
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
