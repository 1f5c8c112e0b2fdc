/** Chooses the prober: raw sockets, or what an unprivileged process may use. */
import { LinuxError } from "@l3dsr/linux";
import { L3dsrError } from "../errors.ts";
import type { ProbeTarget } from "../model/probe-target.ts";
import { PlainProber } from "./plain-prober.ts";
import { type Asker, Prober } from "./prober.ts";

/**
 * Without root, ordinary sockets send UDP and echo probes. Throws L3dsrError (KERNEL_PERMISSION) if these are not
 * enough.
 */
export function openProber(targets: readonly ProbeTarget[]): Asker {
	try {
		return new Prober();
	} catch (error) {
		if (!(error instanceof LinuxError) || error.code !== "PERMISSION") throw error;
		if (targets.every(({ protocol }) => protocol !== "tcp")) return new PlainProber();
		throw new L3dsrError(
			{
				code: "KERNEL_PERMISSION",
				message: "probe: not permitted to open raw sockets (CAP_NET_RAW)",
				hint: "run it as root, or use --udp or --icmp: an ordinary socket does not receive a SYN+ACK from another address",
			},
			{ cause: error },
		);
	}
}
