/**
 * Which grace periods of RCU the kernel uses. Attaching and detaching programs, changing nf_tables, and taking namespaces
 * away each wait for one: some 20 ms, in which nothing is done; an expedited one takes 0.1 ms. What the kernel does
 * is the same. The setting is that of the whole machine, and is put back when this process ends.
 */
import { readFileSync, writeFileSync } from "node:fs";

const SETTING = "/sys/kernel/rcu_expedited";

let before: string | undefined;

/** False where the machine's setting cannot be written, or is somebody else's at this time. */
export function expediteGracePeriods(wanted: boolean): boolean {
	try {
		if (before === undefined) {
			const found = readFileSync(SETTING, "utf8").trim();
			// Whoever has switched it on switches it off.
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
