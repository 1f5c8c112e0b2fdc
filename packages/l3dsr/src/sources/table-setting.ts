/** The table that services' rules stand in, as the configuration of this host says it, for dsrctl. */
import { DEFAULT_CONFIGURATION } from "../model/configuration.ts";
import type { Table } from "../model/rule.ts";
import { readIfThere } from "./dsr-conf.ts";
import { CONFIG_FILE, type SourceFiles } from "./source-files.ts";

/** The default where there is no configuration. Throws L3dsrError (CONFIG_*) when it cannot be told. */
export async function readTableSetting(files: Pick<SourceFiles, "readFile">): Promise<Table> {
	const text = readIfThere(files, CONFIG_FILE);
	if (text === undefined) return DEFAULT_CONFIGURATION.table;
	const { parseTableSetting } = await import("../syntax/config/table-setting.ts");
	return parseTableSetting(text, CONFIG_FILE);
}
