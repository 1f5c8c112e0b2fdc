/** The one key of l3dsr.yaml that `dsrctl` goes by, without the price of reading and checking the rest. */
import { L3dsrError } from "../../errors.ts";
import { DEFAULT_CONFIGURATION } from "../../model/configuration.ts";
import { CHAINS, type Table } from "../../model/rule.ts";
import { didYouMean } from "../suggest.ts";
import { ConfigDocument } from "./document.ts";

/** `table` of the file, `raw` where it says nothing. Throws L3dsrError (CONFIG_*) when it cannot be told. */
export function parseTableSetting(text: string, source: string): Table {
	const document = new ConfigDocument(text, source);
	const [first, ...rest] = document.diagnostics();
	if (!document.readable && first !== undefined) throw new L3dsrError([first, ...rest]);
	if (document.at(["table"]) === undefined) return DEFAULT_CONFIGURATION.table;
	const value = document.shape(["table"]) === "scalar" ? document.scalars(["table"])[0] : undefined;
	if (value !== undefined && isTable(value.text)) return value.text;
	const written = value === undefined ? "this" : `"${value.text}"`;
	const hint = value === undefined ? undefined : didYouMean(value.text, Object.keys(CHAINS));
	throw new L3dsrError({
		code: "CONFIG_BAD_VALUE",
		message: `${written} is not a table for services, expected raw or mangle`,
		position: document.place(["table"]),
		...(hint === undefined ? {} : { hint }),
	});
}

function isTable(text: string): text is Table {
	return Object.hasOwn(CHAINS, text);
}
