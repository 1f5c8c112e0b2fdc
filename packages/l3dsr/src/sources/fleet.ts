/** The services that a fleet table asks of this host, as a real server of its pools. */
import { fileErrorText } from "@l3dsr/linux";
import { L3dsrError, type Position } from "../errors.ts";
import { servicesOfReal } from "../model/fleet-services.ts";
import type { PlacedService } from "../syntax/config/parse-config.ts";
import type { SourceFiles } from "./source-files.ts";

/** Where the configuration names the fleet, and whether it says itself what this host serves. */
export interface FleetReference {
	readonly path: string;
	readonly position: Position;
	readonly mayBeEmpty: boolean;
}

/**
 * Throws L3dsrError: CONFIG_* and MODEL_* for what is wrong with the fleet's file, and CONFIG_MISSING where no pool lists
 * an address of this host. Before its addresses are there, a host would otherwise take itself out of service.
 */
export async function readFleetServices(
	files: SourceFiles,
	{ path, position, mayBeEmpty }: FleetReference,
): Promise<PlacedService[]> {
	const { parseFleet } = await import("../syntax/fleet/parse-fleet.ts");
	const own = files.ownAddresses();
	const services = servicesOfReal(parseFleet(readText(files, path, position), path), own);
	if (services.length === 0 && !mayBeEmpty) {
		const addresses = own.map(({ text }) => text).join(", ");
		throw new L3dsrError({
			code: "CONFIG_MISSING",
			message: `no pool of ${path} lists an address of this host (${addresses})`,
			position,
			hint: "check the addresses of the host and of the fleet, or write `services: []` beside `fleet` if it serves nothing",
		});
	}
	return services.map((service) => ({ service, place: position }));
}

function readText(files: SourceFiles, path: string, position: Position): string {
	try {
		return files.readFile(path);
	} catch (cause) {
		const message = `read fleet ${path}: ${fileErrorText(cause)}`;
		throw new L3dsrError({ code: "CONFIG_READ", message, position }, { cause });
	}
}
