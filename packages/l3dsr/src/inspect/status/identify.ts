/** A status with its host and time. */
import { hostName, kernelRelease } from "@l3dsr/linux";
import type { Printable } from "../../json.ts";
import type { StatusRecord } from "./status.ts";

/** `version` is that of l3dsr. */
export function identifyStatus(record: StatusRecord, version: string, now = new Date()): Printable<"status"> {
	const roles = [
		...(record.services.length > 0 ? (["real server"] as const) : []),
		...(record.director === undefined ? [] : (["director"] as const)),
	];
	return {
		time: now.toISOString(),
		host: { name: hostName(), l3dsr: version, kernel: kernelRelease(), roles },
		...record,
	};
}
