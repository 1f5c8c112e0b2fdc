/** The fleet's table, and the services that it gives this host as a real server of its pools. */
import { fileErrorText } from "@l3dsr/linux";
import { L3dsrError, type Position } from "../errors.ts";
import type { Fleet } from "../model/fleet.ts";
import { servicesOfReal } from "../model/fleet-services.ts";
import type { PlacedService } from "../syntax/config/parse-config.ts";
import type { SourceFiles } from "./source-files.ts";

/** The configuration's reference to the fleet. */
export interface FleetReference {
	readonly path: string;
	readonly position: Position;
}

/** Throws L3dsrError: CONFIG_* and MODEL_* for faults of the fleet's file. */
export async function readFleet(
	files: Pick<SourceFiles, "readFile">,
	{ path, position }: FleetReference,
): Promise<Fleet> {
	const { parseFleet } = await import("../syntax/fleet/parse-fleet.ts");
	return parseFleet(readText(files, path, position), path);
}

/**
 * The services of this host. Throws L3dsrError (CONFIG_MISSING) if no pool lists one of its addresses, unless
 * `mayBeEmpty`: otherwise a host would take itself out of service before it has its addresses.
 */
export function fleetServices(
	files: Pick<SourceFiles, "ownAddresses">,
	fleet: Fleet,
	{ path, position }: FleetReference,
	mayBeEmpty: boolean,
): PlacedService[] {
	const own = files.ownAddresses();
	const services = servicesOfReal(fleet, own);
	if (services.length === 0 && !mayBeEmpty) {
		const addresses = own.map(({ text }) => text).join(", ");
		throw new L3dsrError({
			code: "CONFIG_MISSING",
			message: `no pool of ${path} lists an address of this host (${addresses})`,
			position,
			hint: "check the addresses of the host and of the fleet, or add `services: []` if it serves nothing",
		});
	}
	return services.map((service) => ({ service, place: position }));
}

function readText(files: Pick<SourceFiles, "readFile">, path: string, position: Position): string {
	try {
		return files.readFile(path);
	} catch (cause) {
		const message = `read fleet ${path}: ${fileErrorText(cause)}`;
		throw new L3dsrError({ code: "CONFIG_READ", message, position }, { cause });
	}
}
