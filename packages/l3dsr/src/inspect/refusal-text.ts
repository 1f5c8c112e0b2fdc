/** Why `up` cannot make a host what its configuration says. */
import { type ConfiguredHost, silencingText } from "../reconcile/configured-host.ts";
import type { Plan } from "../reconcile/target.ts";
import { refusalOf } from "../rewrite/reason.ts";

/** Undefined if it can. */
export function refusalText({
	desired,
	assignment,
	directorRefused,
}: Plan<ConfiguredHost>): string | undefined {
	if (directorRefused !== undefined) return directorRefused.message;
	return assignment.refused === undefined ? silencingText(desired) : refusalOf(assignment.refused).message;
}
