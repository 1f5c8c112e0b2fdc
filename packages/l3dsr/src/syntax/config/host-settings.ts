/**
 * The keys of l3dsr.yaml that every command that changes rules uses, including `dsrctl` and `iptables-daddr`. Reads
 * them without the cost of reading and checking the rest, and ignores faults there.
 */
import { L3dsrError } from "../../errors.ts";
import {
	DATAPATH_CHOICES,
	DEFAULT_CONFIGURATION,
	HOOK_CHOICES,
	type HostSettings,
} from "../../model/configuration.ts";
import { OPEN_CHECKSUM_CHOICES } from "../../model/open-checksums.ts";
import { CHAINS, type Table } from "../../model/rule.ts";
import { didYouMean } from "../suggest.ts";
import { ConfigDocument } from "./document.ts";

const TABLES = Object.keys(CHAINS).filter((name): name is Table => Object.hasOwn(CHAINS, name));

/** Throws L3dsrError (CONFIG_*) if the file is not YAML or one of these settings has an invalid value. */
export function parseHostSettings(text: string, source: string): HostSettings {
	const document = new ConfigDocument(text, source);
	const [first, ...rest] = document.diagnostics();
	if (!document.readable && first !== undefined) throw new L3dsrError([first, ...rest]);
	const datapath = choice("datapath", DATAPATH_CHOICES, "a datapath");
	const hook = choice("hook", HOOK_CHOICES, "a hook");
	const openChecksums = choice("open-checksums", OPEN_CHECKSUM_CHOICES, "a policy for open checksums");
	return {
		table: choice("table", TABLES, "a table for services") ?? DEFAULT_CONFIGURATION.table,
		given: {
			...(datapath === undefined ? {} : { datapath }),
			...(hook === undefined ? {} : { hook }),
			...(openChecksums === undefined ? {} : { openChecksums }),
		},
	};

	function choice<T extends string>(key: string, choices: readonly T[], what: string): T | undefined {
		if (document.at([key]) === undefined) return undefined;
		const value = document.shape([key]) === "scalar" ? document.scalars([key])[0] : undefined;
		const found = choices.find((one) => one === value?.text);
		if (found !== undefined) return found;
		const written = value === undefined ? "this" : `"${value.text}"`;
		const hint = value === undefined ? undefined : didYouMean(value.text, choices);
		throw new L3dsrError({
			code: "CONFIG_BAD_VALUE",
			message: `${written} is not ${what}, expected ${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`,
			position: document.place([key]),
			...(hint === undefined ? {} : { hint }),
		});
	}
}
