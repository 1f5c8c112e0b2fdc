/**
 * Prints COUNT lines as a command does, then says so on stderr: print-lines.ts COUNT [impatient]. It ends with a
 * timer left, and says that it ends.
 */
import { addressOf, isLibcLoaded } from "@l3dsr/linux";
import { finalExitCode, processContext } from "../../src/cli/context.ts";
import { endProcess } from "../../src/cli/end-process.ts";

const [, , count, mode] = process.argv;
const context = processContext("print-lines", process, "", { patient: mode !== "impatient" });
for (let index = 0; index < Number(count); index++) context.stdout.write(`line ${index}\n`);
context.stderr.write("worked\n");
if (mode === "impatient") process.exitCode = finalExitCode(process, 0);
else {
	addressOf(new Uint8Array(1)); // loads the C library, as every command that changes something does
	setTimeout(() => {}, 3_600_000);
	process.on("exit", (code) => context.stderr.write(`ends with ${code}, libc ${isLibcLoaded()}\n`));
	endProcess(process, context, 0);
}
