/** The settings of this host's configuration, for commands that do not read its services. */
import { DEFAULT_CONFIGURATION, type HostSettings } from "../model/configuration.ts";
import { CONFIG_FILE, readIfThere, type SourceFiles } from "./source-files.ts";

/** The defaults if there is no configuration. Throws L3dsrError (CONFIG_*) if the settings cannot be read. */
export async function readHostSettings(files: Pick<SourceFiles, "readFile">): Promise<HostSettings> {
	const text = readIfThere(files, CONFIG_FILE);
	if (text === undefined || !MAY_HAVE_SETTINGS.test(text))
		return { table: DEFAULT_CONFIGURATION.table, given: {} };
	const { parseHostSettings } = await import("../syntax/config/host-settings.ts");
	return parseHostSettings(text, CONFIG_FILE);
}

/** A key of a setting, or an escape that could spell one. Without these, the YAML parser is not loaded. */
const MAY_HAVE_SETTINGS = /table|datapath|hook|open-checksums|\\/;
