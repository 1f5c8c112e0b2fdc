/** Reads what the host should be: l3dsr.yaml, and the dsr.conf files that it includes. */
import { dirname, resolve } from "node:path";
import { errnoOfFileError } from "@l3dsr/linux";
import { type Diagnostic, L3dsrError, type Position } from "../errors.ts";
import { readFailure } from "../host/files.ts";
import type { Configuration, DatapathSettings } from "../model/configuration.ts";
import type { Fleet } from "../model/fleet.ts";
import type { Service } from "../model/service.ts";
import type { PlacedService } from "../syntax/config/parse-config.ts";
import { type Environment, readDsrConf } from "./dsr-conf.ts";
import { fleetServices, readFleet } from "./fleet.ts";
import { CONFIG_FILE, type SourceFiles } from "./source-files.ts";

export interface LoadedConfiguration {
	readonly source: string;
	/** Includes the services of included files and of the fleet. */
	readonly configuration: Configuration;
	/** The datapath settings in the file; `configuration` has defaults for the others. */
	readonly given: Partial<DatapathSettings>;
	readonly placed: readonly PlacedService[];
	/** The table that `fleet` names, as written: without the operator's overrides on this host. */
	readonly fleet?: LoadedFleet;
}

export interface LoadedFleet {
	readonly path: string;
	readonly fleet: Fleet;
}

/**
 * Throws L3dsrError with all faults of the files (CONFIG_*, MODEL_*). An empty file is a fault: a wish for no
 * services must be written explicitly.
 */
export async function loadConfiguration(
	files: SourceFiles,
	path: string,
	env: Environment,
): Promise<LoadedConfiguration> {
	const { saysServices, ...loaded } = await readConfiguration(files, path, env);
	if (saysServices || loaded.placed.length > 0 || loaded.configuration.director !== undefined) return loaded;
	const included = loaded.configuration.include === undefined ? "" : ", and neither does what it includes";
	throw new L3dsrError({
		code: "CONFIG_MISSING",
		message: `${path} names no services${included}`,
		hint: "write services: [] if this host should have none",
	});
}

async function readConfiguration(
	files: SourceFiles,
	path: string,
	env: Environment,
): Promise<LoadedConfiguration & { readonly saysServices: boolean }> {
	const text = readText(files, path);
	const [{ parseConfig }, { conflictDiagnostics }] = await Promise.all([
		import("../syntax/config/parse-config.ts"),
		import("../syntax/config/service-conflicts.ts"),
	]);
	const { configuration, given, placed, includedAt, fleetAt, saysServices } = parseConfig(text, path);
	const included =
		configuration.include === undefined
			? []
			: await readIncluded(files, resolve(dirname(path), configuration.include), env, includedAt);
	const reference =
		configuration.fleet === undefined || fleetAt === undefined
			? undefined
			: { path: resolve(dirname(path), configuration.fleet), position: fleetAt };
	const fleet = reference === undefined ? undefined : await readFleet(files, reference);
	const mayBeEmpty = saysServices || configuration.director !== undefined;
	const ofFleet =
		reference === undefined || fleet === undefined ? [] : fleetServices(files, fleet, reference, mayBeEmpty);
	const all = [...placed, ...included, ...ofFleet];
	const [first, ...rest] = conflictDiagnostics(all);
	if (first !== undefined) throw new L3dsrError([first, ...rest]);
	return {
		source: path,
		configuration: { ...configuration, services: all.map(({ service }) => service) },
		given,
		placed: all,
		saysServices,
		...(reference === undefined || fleet === undefined ? {} : { fleet: { path: reference.path, fleet } }),
	};
}

/** Undefined if `path` is the default and there is no such file. */
export async function configurationIfThere(
	files: SourceFiles,
	path: string,
	env: Environment,
): Promise<LoadedConfiguration | undefined> {
	try {
		if (path === CONFIG_FILE) files.readFile(path);
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
	}
	return await readConfiguration(files, path, env);
}

/** The valid services in dsrctl's folder; dsrctl itself reports the others. */
export async function servicesElsewhere(files: SourceFiles, env: Environment): Promise<Service[]> {
	const { services } = await readDsrConf(files, files.dsrConfFolder, env);
	return services.map(({ service }) => service);
}

function readText(files: SourceFiles, path: string): string {
	try {
		return files.readFile(path);
	} catch (cause) {
		const failure = readFailure("CONFIG_READ", "configuration", path, cause);
		if (errnoOfFileError(cause) !== "ENOENT") throw failure;
		const hint = "write one (l3dsr alone shows how), or name another with -c";
		throw new L3dsrError({ ...failure.diagnostics[0], hint }, { cause });
	}
}

async function readIncluded(
	files: SourceFiles,
	path: string,
	env: Environment,
	position: Position | undefined,
): Promise<PlacedService[]> {
	const { services, diagnostics } = await readDsrConf(files, path, env);
	const [{ readVip }, { sortDiagnostics }] = await Promise.all([
		import("../syntax/config/read-value.ts"),
		import("../syntax/config/document.ts"),
	]);
	// dsrctl passes such a service to the kernel, which refuses it half-way.
	for (const { service, place } of services) {
		const reading = readVip(service.vip.text);
		if (!reading.ok) diagnostics.push({ code: reading.code, message: reading.message, position: place });
	}
	// A fault without a position in the included files is reported at `include`.
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
