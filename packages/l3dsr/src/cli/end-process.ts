/** The end of a process whose command is done. */
import { endAtOnce, isLibcLoaded } from "@l3dsr/linux";
import { finalExitCode, type ProcessContext } from "./context.ts";

/**
 * Ends the process with this exit code, or with that of lost output, once the kernel has its output. Whatever is still
 * open, such as a slow lookup of a host name, is left to the kernel: Node would free each object and end each thread,
 * which takes a twentieth of the time of its start.
 */
export function endProcess(process: NodeJS.Process, context: ProcessContext, exitCode: number): void {
	context.flush(() => {
		const status = finalExitCode(process, exitCode);
		// A profile, or what a test has covered, is written by Node's own end.
		const isWatched =
			process.env["NODE_V8_COVERAGE"] !== undefined ||
			process.execArgv.some((flag) => flag.includes("-prof"));
		if (!isLibcLoaded() || isWatched) process.exit(status);
		process.emit("exit", status);
		endAtOnce(status);
	});
}
