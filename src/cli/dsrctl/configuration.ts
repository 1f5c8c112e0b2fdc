/** Reads the services that a command line asks about: one file, or all of a directory. */
import type { WrittenService } from "../../model/service.ts";
import { collationOf } from "../../syntax/collation.ts";
import {
	collectServices,
	type DsrConfEntry,
	type DsrConfFinding,
	hostNamesOf,
	parseDsrConf,
} from "../../syntax/dsr-conf.ts";
import type { DsrctlHost } from "./host.ts";

export interface DsrConfiguration {
	/** In the order of the files, without the lines of `findings`. */
	readonly services: readonly WrittenService[];
	readonly findings: readonly DsrConfFinding[];
	/** Those read, in order. */
	readonly files: readonly string[];
}

export async function readConfiguration(
	host: DsrctlHost,
	from: { readonly file?: string; readonly directory: string },
	env: Readonly<Record<string, string | undefined>>,
): Promise<DsrConfiguration> {
	const files = from.file === undefined ? confFiles(host, from.directory, env) : [from.file];
	if (files === undefined) {
		return { services: [], findings: [{ kind: "no-directory", directory: from.directory }], files: [] };
	}
	const entries: DsrConfEntry[] = [];
	const read: string[] = [];
	const fatal: DsrConfFinding[] = [];
	for (const file of files) {
		const text = host.readFile(file);
		if (text === undefined) {
			fatal.push({ kind: "unreadable", file });
			break;
		}
		read.push(file);
		entries.push(...parseDsrConf(file, text));
		if (entries.at(-1)?.kind === "unrecognized") break;
	}
	const names = hostNamesOf(entries);
	const addresses = await Promise.all(names.map((name) => host.addressOf(name)));
	const resolved = new Map(names.map((name, index) => [name, addresses[index]]));
	const { services, findings } = collectServices(entries, (name) => resolved.get(name));
	return { services, findings: [...findings, ...fatal], files: read };
}

/** As the shell expands `DIRECTORY/*.conf`: no hidden files, in the order of the locale. */
function confFiles(
	host: DsrctlHost,
	directory: string,
	env: Readonly<Record<string, string | undefined>>,
): string[] | undefined {
	return host
		.listDirectory(directory)
		?.filter((name) => name.endsWith(".conf") && !name.startsWith("."))
		.sort(collationOf(env))
		.map((name) => `${directory}/${name}`);
}
