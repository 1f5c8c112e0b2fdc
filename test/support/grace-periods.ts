/**
 * Selects the kernel's kind of RCU grace periods. Attaching and detaching programs, changing nf_tables and
 * deleting namespaces each wait for one: about 20 ms, or 0.1 ms if it is expedited. The result is the same.
 * The setting applies to the whole machine, and is restored when this process ends.
 */
import { readFileSync, writeFileSync } from "node:fs";

const SETTING = "/sys/kernel/rcu_expedited";

let before: string | undefined;

/** Returns false if the setting cannot be written, or if another process has changed it. */
export function expediteGracePeriods(wanted: boolean): boolean {
	try {
		if (before === undefined) {
			const found = readFileSync(SETTING, "utf8").trim();
			// The process that has switched it on switches it off.
			if (found !== "0") return false;
			writeFileSync(SETTING, found);
			before = found;
			process.on("exit", () => writeFileSync(SETTING, found));
		}
		writeFileSync(SETTING, wanted ? "1" : before);
		return true;
	} catch {
		return false;
	}
}
