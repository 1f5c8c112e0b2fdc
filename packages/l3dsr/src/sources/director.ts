/** What this host directs, as its configuration and the fleet say. */
import type { DesiredDirector } from "../model/director.ts";
import type { LoadedConfiguration } from "./configuration.ts";

/** Undefined where the host is not a director. */
export function wantedDirector({
	configuration: { director },
	fleet,
}: Pick<LoadedConfiguration, "configuration" | "fleet">): Omit<DesiredDirector, "rulesAt"> | undefined {
	if (director === undefined || fleet === undefined) return undefined;
	return { settings: director.settings, fleet: fleet.fleet };
}
