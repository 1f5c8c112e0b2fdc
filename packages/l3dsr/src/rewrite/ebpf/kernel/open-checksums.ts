/**
 * XDP and packets whose transport checksum the sender has left open.
 *
 * Between a host and its own virtual machines and containers a packet travels with half a checksum: the
 * receiving end, or the card on the way out, completes it (CHECKSUM_PARTIAL). A program at tc is told; one at
 * XDP sees only the bytes and cannot tell half a checksum from a whole one. Updating it as a whole one goes
 * unnoticed when this host is the end, and puts a wrong checksum on the wire when it forwards the packet.
 * Real cards never deliver such packets.
 */

import { driverOf, type NetInterface } from "@l3dsr/linux";
import { L3dsrError } from "../../../errors.ts";
import { OPEN_CHECKSUM_DEVICES } from "../../../host/open-checksum-devices.ts";

/** What delivers packets with open checksums there; undefined for a real card. */
export function openChecksumSource(on: NetInterface): string | undefined {
	const driver = on.kind ?? driverOf(on.name);
	return driver !== undefined && OPEN_CHECKSUM_DEVICES.has(driver) ? driver : undefined;
}

/** Throws L3dsrError (KERNEL_FEATURE) for such an interface. */
export function refuseOpenChecksums(on: NetInterface): void {
	const source = openChecksumSource(on);
	if (source === undefined) return;
	throw new L3dsrError({
		code: "KERNEL_FEATURE",
		message: `attach to XDP of ${on.name}: packets of a ${source} interface may arrive without their checksum, which XDP cannot see`,
		notes: ["rewritten there and forwarded, they would leave with a wrong checksum"],
		hint: "use hook: tc, which sees it; or, if this host does not forward what it rewrites, set open-checksums: accept",
	});
}
