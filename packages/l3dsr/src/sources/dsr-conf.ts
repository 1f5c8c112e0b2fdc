/** Reads dsr.conf files: one, or all of a folder. */
import type { Diagnostic, Position } from "../errors.ts";
import { readFailure } from "../host/files.ts";
import type { WrittenService } from "../model/service.ts";
import { collationOf } from "../syntax/collation.ts";
import type { PlacedService } from "../syntax/config/parse-config.ts";
import {
	collectServices,
	confFilesOf,
	type DsrConfEntry,
	type DsrConfFinding,
	describeFinding,
	hostNamesOf,
	isFault,
	parseDsrConf,
} from "../syntax/dsr-conf.ts";
import { readIfThere, type SourceFiles } from "./source-files.ts";

/** The process's environment; its locale decides how file names are sorted. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface DsrConfiguration {
	/** In the order of the files, without the lines of `findings`. */
	readonly services: readonly WrittenService[];
	readonly findings: readonly DsrConfFinding[];
	/** The files that were read, in order. */
	readonly files: readonly string[];
}

/** Like dsrctl: up to the first file or line that cannot be read. */
export async function readDsrctlServices(
	files: SourceFiles,
	from: { readonly file?: string; readonly directory: string },
	env: Environment,
): Promise<DsrConfiguration> {
	const names = from.file === undefined ? listFolder(files, from.directory) : [];
	if (names === undefined) {
		return { services: [], findings: [{ kind: "no-directory", directory: from.directory }], files: [] };
	}
	const paths = from.file === undefined ? confFilesOf(from.directory, names, collationOf(env)) : [from.file];
	const entries: DsrConfEntry[] = [];
	const read: string[] = [];
	const fatal: DsrConfFinding[] = [];
	for (const file of paths) {
		const text = readIfThere(files, file);
		if (text === undefined) {
			fatal.push({ kind: from.file === undefined ? "unreadable" : "no-file", file });
			break;
		}
		read.push(file);
		for (const entry of parseDsrConf(file, text)) entries.push(entry);
		const last = entries.at(-1)?.kind;
		if (last === "unrecognized" || last === "too-many") break;
	}
	const found = new Map(
		await Promise.all(hostNamesOf(entries).map(async (name) => [name, await files.addressOf(name)] as const)),
	);
	const { services, findings } = collectServices(entries, (name) => found.get(name));
	return { services, findings: [...findings, ...fatal], files: read };
}

/** Undefined if there is no such folder, or it cannot be read. */
function listFolder(files: SourceFiles, path: string): readonly string[] | undefined {
	try {
		return files.listFolder(path);
	} catch {
		return undefined;
	}
}

/** The services of a dsr.conf file, or of a folder of them, and the faults of the rest. Does not throw for faults. */
export async function readDsrConf(
	files: SourceFiles,
	path: string,
	env: Environment,
): Promise<{ services: PlacedService[]; diagnostics: Diagnostic[] }> {
	const names = files.listFolder(path);
	const paths = names === undefined ? [path] : confFilesOf(path, names, collationOf(env));
	const entries: DsrConfEntry[] = [];
	const lines = new Map<string, string[]>();
	const diagnostics: Diagnostic[] = [];
	for (const file of paths) {
		try {
			const text = files.readFile(file);
			lines.set(file, text.split("\n"));
			for (const entry of parseDsrConf(file, text)) entries.push(entry);
		} catch (cause) {
			diagnostics.push(...readFailure("CONFIG_READ", "", file, cause).diagnostics);
		}
	}
	const hosts = hostNamesOf(entries);
	const found = new Map(
		await Promise.all(hosts.map(async (name) => [name, await files.addressOf(name)] as const)),
	);
	const { services, findings } = collectServices(entries, (name) => found.get(name));
	const place = (file: string, line: number): Position => lineAt(lines, file, line);
	for (const finding of findings.filter(isFault)) diagnostics.push(findingDiagnostic(finding, place));
	return {
		services: services.map(({ service, file, line }) => ({ service, place: place(file, line) })),
		diagnostics,
	};
}

function lineAt(lines: ReadonlyMap<string, readonly string[]>, source: string, line: number): Position {
	const text = lines.get(source)?.[line - 1] ?? "";
	const lead = text.length - text.trimStart().length;
	const content = text.slice(lead).replace(/\s*(#.*)?$/, "");
	return { source, line, column: lead + 1, length: Math.max(1, content.length), text };
}

function findingDiagnostic(
	finding: DsrConfFinding,
	place: (file: string, line: number) => Position,
): Diagnostic {
	const message = describeFinding(finding).split("\n")[0] ?? "";
	switch (finding.kind) {
		case "unrecognized":
			return {
				code: "CONFIG_SYNTAX",
				message: "a line of dsr.conf is VIP=DSCP or VIP",
				position: place(finding.file, finding.line),
				...(finding.hint === undefined ? {} : { hint: finding.hint }),
			};
		case "too-many":
			return { code: "CONFIG_BAD_VALUE", message, position: place(finding.file, finding.line) };
		case "too-large":
			return {
				code: "CONFIG_DSCP_RANGE",
				message: `DSCP ${finding.dscpText} is out of range, expected 0-63`,
				position: place(finding.file, finding.line),
			};
		case "unresolved":
			return {
				code: "CONFIG_BAD_VALUE",
				message: `host name ${finding.name} has no IPv4 address`,
				position: place(finding.file, finding.line),
			};
		case "conflict":
			return {
				code: "MODEL_DSCP_CONFLICT",
				message: `DSCP ${finding.dscpText} already selects VIP ${finding.previous.vipText}`,
				position: place(finding.duplicate.file, finding.duplicate.line),
				notes: [`first used at ${finding.previous.file}:${finding.previous.line}`],
			};
		default:
			return { code: "CONFIG_READ", message };
	}
}
