/** Changes of nf_tables that are about tables of ours, and that others have made. */
import { watchReadable } from "@l3dsr/linux";
import { type RulesetEvent, RulesetMonitor } from "@l3dsr/nftables";
import type { Ear, Hear } from "./heard.ts";

const OWN_TABLE = "l3dsr";

/** Of this namespace, until disposed of. Throws NftablesError. */
export function hearRuleset(hear: Hear): Ear {
	using opened = new DisposableStack();
	const monitor = opened.use(new RulesetMonitor());
	let concerned = false;
	/** Of the transaction that is being told of. */
	let deleted = { own: false, others: false };
	const read = (): void => {
		for (const event of monitor.read()) {
			if (event.kind === "lost") {
				concerned = false;
				hear({ trigger: "lost" });
			} else if (event.kind !== "generation") {
				concerned ||= isAboutOurs(event);
				if (event.kind === "table" && event.change === "deleted") {
					deleted = isAboutOurs(event) ? { ...deleted, own: true } : { ...deleted, others: true };
				}
			} else {
				// The kernel tells of each object of a transaction, and in the end who has made it.
				const { process: by, program } = event;
				if (concerned && by !== process.pid) {
					const name = program === undefined ? {} : { program };
					hear({
						trigger: "ruleset",
						...(deleted.own && deleted.others ? { flushed: true } : {}),
						...(by === undefined ? {} : { deed: { on: "ruleset", process: by, ...name } }),
					});
				}
				concerned = false;
				deleted = { own: false, others: false };
			}
		}
	};
	opened.use(watchReadable(monitor.fd, read));
	const owned = opened.move();
	return { read, [Symbol.dispose]: () => owned[Symbol.dispose]() };
}

/** What cannot be told may be. */
function isAboutOurs({ table }: Exclude<RulesetEvent, { kind: "generation" | "lost" }>): boolean {
	return table === undefined || table.name === OWN_TABLE;
}
