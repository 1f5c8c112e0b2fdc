/** The whole wish for a host: its configuration, the effective settings, and what it directs. */
import { type LoadedConfiguration, loadConfiguration } from "./configuration.ts";
import { type WantedDirector, wantedDirector } from "./director.ts";
import type { Environment } from "./dsr-conf.ts";
import { resolveSettings } from "./settings.ts";
import type { SourceFiles } from "./source-files.ts";

export interface Wish extends LoadedConfiguration {
	/** Undefined if the host is not a director. */
	readonly director: WantedDirector | undefined;
}

/** Throws L3dsrError: CONFIG_* and MODEL_* with all faults of the files, USAGE, STATE_READ. */
export async function loadWish(files: SourceFiles, path: string, env: Environment): Promise<Wish> {
	return await wishOf(files, await loadConfiguration(files, path, env), env);
}

/**
 * Settings that are not in the file come from the environment or are defaults. Throws L3dsrError: USAGE, STATE_READ.
 */
export async function wishOf(
	files: Pick<SourceFiles, "readFile">,
	loaded: LoadedConfiguration,
	env: Environment,
): Promise<Wish> {
	const settings = resolveSettings(loaded.given, env, { hook: "tc" });
	const director = await wantedDirector(files, loaded);
	return { ...loaded, configuration: { ...loaded.configuration, ...settings }, director };
}
