/** The results of a director's checks. Separate from check-host.ts, so that other hosts do not load it. */
import { runDirectorChecks } from "../../balance/checks/all.ts";
import { gatherDirectorFacts } from "../../balance/checks/gather.ts";
import type { CheckFinding } from "../../host/checks/check.ts";
import { gatherFacts } from "../../host/facts.ts";
import type { DesiredDirector } from "../../model/director.ts";
import type { ConfiguredHost } from "../../reconcile/configured-host.ts";
import type { Plan } from "../../reconcile/target.ts";

/** `plan` is what up would do. Throws L3dsrError (KERNEL_*). */
export function checkDirector(
	{ settings, fleet, held }: DesiredDirector,
	{ observed, desired, directorRefused }: Plan<ConfiguredHost>,
): CheckFinding[] {
	return runDirectorChecks({
		settings,
		fleet,
		held,
		served: desired.wish.services.map(({ vip }) => vip),
		...(directorRefused === undefined ? {} : { refused: directorRefused.diagnostics[0] }),
		facts: gatherDirectorFacts(fleet, gatherFacts(observed.interfaces, [])),
	});
}
