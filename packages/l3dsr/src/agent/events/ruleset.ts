/** Reports nf_tables changes by other processes that concern our tables. */
import { watchReadable } from "@l3dsr/linux";
import { type RulesetEvent, RulesetMonitor } from "@l3dsr/nftables";
import type { EventHandler, EventReader } from "./event.ts";

const OWN_TABLE = "l3dsr";

const NOTHING_DELETED = { own: 0, others: 0 };

/** Reports changes in this network namespace until disposed of. Throws NftablesError. */
export function monitorRuleset(report: EventHandler): EventReader {
	using opened = new DisposableStack();
	const monitor = opened.use(new RulesetMonitor({ detail: "tables" }));
	let concerned = false;
	/** Tables deleted by the transaction that is being reported. */
	let deleted = NOTHING_DELETED;
	const read = (): void => {
		for (const event of monitor.read()) {
			if (event.kind === "lost") {
				concerned = false;
				deleted = NOTHING_DELETED;
				report({ trigger: "lost" });
			} else if (event.kind !== "generation") {
				concerned ||= isAboutOurs(event);
				if (event.kind === "table" && event.change === "deleted") {
					const { own, others } = deleted;
					deleted = isAboutOurs(event) ? { own: own + 1, others } : { own, others: others + 1 };
				}
			} else {
				// The kernel reports each object of a transaction first, and at the end the process that committed it.
				const { process: by, program } = event;
				if (concerned && by !== process.pid) {
					const name = program === undefined ? {} : { program };
					report({
						trigger: "ruleset",
						...(deleted.own > 0 ? { deleted: true } : {}),
						...(deleted.own > 0 && deleted.own + deleted.others > 1 ? { flushed: true } : {}),
						...(by === undefined ? {} : { change: { on: "ruleset", process: by, ...name } }),
					});
				}
				concerned = false;
				deleted = NOTHING_DELETED;
			}
		}
	};
	opened.use(watchReadable(monitor.fd, read));
	const owned = opened.move();
	return { read, [Symbol.dispose]: () => owned[Symbol.dispose]() };
}

/** An event that names no table may concern ours. */
function isAboutOurs({ table }: Exclude<RulesetEvent, { kind: "generation" | "lost" }>): boolean {
	return table === undefined || table.name === OWN_TABLE;
}
