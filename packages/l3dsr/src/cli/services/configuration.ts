/** Reads what the host should be: l3dsr.yaml, and the dsr.conf files that it includes. */

import { dirname, resolve } from "node:path";
import { fileErrorText } from "@l3dsr/linux";
import { type Diagnostic, L3dsrError, type Position } from "../../errors.ts";
import type { Configuration } from "../../model/configuration.ts";
import type { Service } from "../../model/service.ts";
import { collationOf } from "../../syntax/collation.ts";
import type { PlacedService } from "../../syntax/config/parse-config.ts";
import {
	collectServices,
	confFilesOf,
	type DsrConfEntry,
	type DsrConfFinding,
	describeFinding,
	hostNamesOf,
	isFault,
	parseDsrConf,
} from "../../syntax/dsr-conf.ts";
import type { CliContext } from "../context.ts";
import type { ServiceHost } from "./host.ts";

export interface LoadedConfiguration {
	readonly source: string;
	/** Services of included files among them. */
	readonly configuration: Configuration;
	readonly placed: readonly PlacedService[];
}

type Env = CliContext["env"];

/** Throws L3dsrError with everything that is wrong with the files (CONFIG_*, MODEL_*). */
export async function loadConfiguration(
	host: ServiceHost,
	path: string,
	env: Env,
): Promise<LoadedConfiguration> {
	const text = readText(host, path);
	const [{ parseConfig }, { conflictDiagnostics }] = await Promise.all([
		import("../../syntax/config/parse-config.ts"),
		import("../../syntax/config/service-conflicts.ts"),
	]);
	const { configuration, placed, includedAt } = parseConfig(text, path);
	const included =
		configuration.include === undefined
			? []
			: await readIncluded(host, resolve(dirname(path), configuration.include), env, includedAt);
	const all = [...placed, ...included];
	const [first, ...rest] = conflictDiagnostics(all);
	if (first !== undefined) throw new L3dsrError([first, ...rest]);
	return {
		source: path,
		configuration: { ...configuration, services: all.map(({ service }) => service) },
		placed: all,
	};
}

/** Services of dsrctl's folder as far as they can be told; what is wrong with the others is dsrctl's to say. */
export async function servicesElsewhere(host: ServiceHost, env: Env): Promise<Service[]> {
	const { services } = await readDsrConf(host, host.dsrConfFolder, env);
	return services.map(({ service }) => service);
}

function readText(host: ServiceHost, path: string): string {
	try {
		return host.readFile(path);
	} catch (cause) {
		const reason = fileErrorText(cause);
		throw new L3dsrError(
			{
				code: "CONFIG_READ",
				message: `read configuration ${path}: ${reason}`,
				...(reason.startsWith("ENOENT")
					? { hint: "write one (l3dsr alone shows how), or name another with -c" }
					: {}),
			},
			{ cause },
		);
	}
}

async function readIncluded(
	host: ServiceHost,
	path: string,
	env: Env,
	position: Position | undefined,
): Promise<PlacedService[]> {
	const { services, diagnostics } = await readDsrConf(host, path, env);
	const [{ readVip }, { sortDiagnostics }] = await Promise.all([
		import("../../syntax/config/read-value.ts"),
		import("../../syntax/config/document.ts"),
	]);
	// dsrctl leaves it to the kernel to refuse them, half-way.
	for (const { service, place } of services) {
		const reading = readVip(service.vip.text);
		if (!reading.ok) diagnostics.push({ code: reading.code, message: reading.message, position: place });
	}
	// What has no place in the included files is said where they are included.
	const [first, ...rest] = sortDiagnostics(
		diagnostics.map(
			(diagnostic): Diagnostic =>
				position === undefined || diagnostic.position !== undefined
					? diagnostic
					: { ...diagnostic, position },
		),
	);
	if (first !== undefined) throw new L3dsrError([first, ...rest]);
	return services;
}

/** The services of a dsr.conf file, or of a folder of them, and what is wrong with the rest. Throws nothing of its own. */
export async function readDsrConf(
	host: ServiceHost,
	path: string,
	env: Env,
): Promise<{ services: PlacedService[]; diagnostics: Diagnostic[] }> {
	const names = host.listFolder(path);
	const files = names === undefined ? [path] : confFilesOf(path, names, collationOf(env));
	const entries: DsrConfEntry[] = [];
	const lines = new Map<string, string[]>();
	const diagnostics: Diagnostic[] = [];
	for (const file of files) {
		try {
			const text = host.readFile(file);
			lines.set(file, text.split("\n"));
			entries.push(...parseDsrConf(file, text));
		} catch (cause) {
			diagnostics.push({ code: "CONFIG_READ", message: `read ${file}: ${fileErrorText(cause)}` });
		}
	}
	const hosts = hostNamesOf(entries);
	const found = new Map(
		await Promise.all(hosts.map(async (name) => [name, await host.addressOf(name)] as const)),
	);
	const { services, findings } = collectServices(entries, (name) => found.get(name));
	const place = (file: string, line: number): Position => lineAt(lines, file, line);
	diagnostics.push(...findings.filter(isFault).map((finding) => findingDiagnostic(finding, place)));
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
			};
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
