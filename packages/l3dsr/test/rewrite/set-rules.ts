/** Observes, then changes: for tests that only need other rules. */
import type { Ruleset } from "../../src/model/ruleset.ts";
import type { Datapath } from "../../src/rewrite/datapath.ts";
import type { HostDatapath } from "../../src/rewrite/host-datapath.ts";

export async function setRules(datapath: Datapath | HostDatapath, ruleset: Ruleset): Promise<void> {
	const snapshot = await datapath.observe();
	if ("assign" in snapshot) await snapshot.change(await snapshot.assign(ruleset));
	else await snapshot.change(ruleset);
}
