/** What this host directs, from its configuration, the fleet and the operator's overrides. */
import type { DesiredDirector } from "../model/director.ts";
import { type HeldReal, withHeld } from "../model/held-real.ts";
import type { LoadedConfiguration } from "./configuration.ts";
import type { SourceFiles } from "./source-files.ts";

export type WantedDirector = Omit<DesiredDirector, "rulesAt">;

/** Undefined if the host is not a director. Throws L3dsrError (STATE_READ). */
export async function wantedDirector(
	files: Pick<SourceFiles, "readFile">,
	{ configuration: { director }, fleet }: Pick<LoadedConfiguration, "configuration" | "fleet">,
): Promise<WantedDirector | undefined> {
	if (director === undefined || fleet === undefined) return undefined;
	const { readHeldReals } = await import("./held-reals.ts");
	return directorWith(director.settings, fleet.fleet, readHeldReals(files, director.state));
}

/** What to direct with these real servers held. */
export function directorWith(
	settings: DesiredDirector["settings"],
	fleet: DesiredDirector["fleet"],
	held: readonly HeldReal[],
): WantedDirector {
	return { settings, fleet: withHeld(fleet, held), held };
}
