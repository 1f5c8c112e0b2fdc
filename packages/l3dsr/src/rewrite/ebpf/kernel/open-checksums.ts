/**
 * XDP and packets with an open transport checksum.
 *
 * Between a host and its own virtual machines and containers a packet travels with a partial checksum
 * (CHECKSUM_PARTIAL); the receiver, or the NIC when the packet is sent, completes it. A program at tc can read this
 * state; one at XDP sees only the bytes and cannot tell a partial checksum from a complete one. Updating it as a
 * complete one does no harm if this host is the destination, but a wrong checksum goes out if the host forwards the
 * packet. Real NICs never deliver such packets.
 */

import { driverOf, type NetInterface } from "@l3dsr/linux";
import { L3dsrError } from "../../../errors.ts";
import { OPEN_CHECKSUM_DEVICES } from "../../../host/open-checksum-devices.ts";

/** What delivers packets with open checksums to this interface; undefined for a real NIC. */
function openChecksumSource(on: NetInterface): string | undefined {
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
