/**
 * The CPUs that the kernel may ever have: their number is the number of values in an element of a per-CPU
 * map.
 */
import { readFileSync } from "node:fs";
import { LinuxError } from "./error.ts";

const POSSIBLE = "/sys/devices/system/cpu/possible";

/** The number of CPUs in a kernel CPU list (`0-3,8-11`). Throws LinuxError (SYSCALL) for other text. */
export function countCpus(list: string): number {
	let count = 0;
	for (const range of list.trim().split(",")) {
		const match = /^(\d+)(?:-(\d+))?$/.exec(range);
		if (match === null) {
			throw new LinuxError("SYSCALL", `read ${POSSIBLE}: not a CPU list: ${list}`);
		}
		const [, first, last = first] = match;
		count += Number(last) - Number(first) + 1;
	}
	return count;
}

let possible: number | undefined;

/** The number of possible CPUs; it cannot change while the kernel runs. */
export function possibleCpus(): number {
	possible ??= countCpus(readFileSync(POSSIBLE, "utf8"));
	return possible;
}
