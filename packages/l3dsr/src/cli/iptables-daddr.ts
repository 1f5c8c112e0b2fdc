/**
 * iptables-daddr, ip6tables-daddr and the -save and -restore of each: one program under six names, as with
 * iptables. Exit codes are the original's: 0 done, 1 failed, 2 bad command line or file, 3 no such table, 4 the lock
 * is held.
 */
import type { Family } from "@l3dsr/packet";
import { type CliContext, processContext } from "./context.ts";
import { endProcess } from "./end-process.ts";
import { diagnosticsOf, ERROR_TABLE } from "./error-table.ts";
import { EXIT } from "./exit-codes.ts";
import { type IptablesHost, systemHost } from "./iptables/host.ts";
import { printableContext } from "./printable-output.ts";
import { reportError } from "./report.ts";

/** RESOURCE_PROBLEM of iptables. */
const EXIT_LOCK_HELD = 4;

/** Entry of `bin/iptables-daddr` and the others. Ends the process. */
export async function main(programName: string): Promise<void> {
	const context = processContext(programName, process, process.argv[1] ?? programName);
	endProcess(process, context, await runIptables(context, systemHost()));
}

/** Runs one command line. Never throws: errors are printed to `context.stderr` and set the exit code. */
export async function runIptables(given: CliContext, host: IptablesHost): Promise<number> {
	const context = printableContext(given);
	const { programName } = context;
	const family: Family = programName.startsWith("ip6") ? "ipv6" : "ipv4";
	try {
		if (programName.endsWith("-save")) {
			const { runSave } = await import("./iptables/save.ts");
			await runSave(context, host, family);
		} else if (programName.endsWith("-restore")) {
			const { runRestore } = await import("./iptables/restore.ts");
			await runRestore(context, host, family);
		} else {
			const { runCommand } = await import("./iptables/command.ts");
			await runCommand(context, host, family);
		}
		return EXIT.done;
	} catch (error) {
		reportError(context, error);
		const errors = diagnosticsOf(error);
		const [{ code }] = errors;
		if (code === "LOCK_HELD") return EXIT_LOCK_HELD;
		if (errors.some((one) => ERROR_TABLE[one.code].exit === EXIT.usage)) return EXIT.usage;
		// The original has no code for "not supported here": it is an ordinary failure, except for a table's
		// name.
		return code === "RULE_TABLE" && !programName.endsWith("-save") ? EXIT.unsupported : EXIT.failed;
	}
}
