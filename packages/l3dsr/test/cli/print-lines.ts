/** Prints COUNT lines as a command does, then reports that on stderr: print-lines.ts COUNT [impatient] */
import { finalExitCode, processContext } from "../../src/cli/context.ts";

const [, , count, mode] = process.argv;
const context = processContext("print-lines", process, "", { patient: mode !== "impatient" });
for (let index = 0; index < Number(count); index++) context.stdout.write(`line ${index}\n`);
context.stderr.write("worked\n");
process.exitCode = finalExitCode(process, 0);
