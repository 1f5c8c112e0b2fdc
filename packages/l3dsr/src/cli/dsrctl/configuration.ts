/** Reads the services that a command line asks about: one file, or all of a directory. */
import type { WrittenService } from "../../model/service.ts";
import { collationOf } from "../../syntax/collation.ts";
import {
	collectServices,
	confFilesOf,
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
	const names = from.file === undefined ? host.listDirectory(from.directory) : [];
	if (names === undefined) {
		return { services: [], findings: [{ kind: "no-directory", directory: from.directory }], files: [] };
	}
	const files = from.file === undefined ? confFilesOf(from.directory, names, collationOf(env)) : [from.file];
	const entries: DsrConfEntry[] = [];
	const read: string[] = [];
	const fatal: DsrConfFinding[] = [];
	for (const file of files) {
		const text = host.readFile(file);
		if (text === undefined) {
			fatal.push({ kind: from.file === undefined ? "unreadable" : "no-file", file });
			break;
		}
		read.push(file);
		entries.push(...parseDsrConf(file, text));
		if (entries.at(-1)?.kind === "unrecognized") break;
	}
	const found = new Map(
		await Promise.all(hostNamesOf(entries).map(async (name) => [name, await host.addressOf(name)] as const)),
	);
	const { services, findings } = collectServices(entries, (name) => found.get(name));
	return { services, findings: [...findings, ...fatal], files: read };
}
