/** Whether there is anything to ask tcx for. Loads only the system call, for commands that find nothing. */

import { ERRNO, type NetInterface } from "@l3dsr/linux";
import { bpf } from "../bpf-syscall.ts";
import { TCX_ATTACH_TYPES, type TcDirection } from "./attach-type.ts";

/** True if no program is attached. False also if the kernel does not say; then the hook's own query says why. */
export function isTcxEmpty(direction: TcDirection, on: NetInterface): boolean {
	const { result, attributes } = bpf("BPF_PROG_QUERY", {
		target_ifindex: on.index,
		attach_type: TCX_ATTACH_TYPES[direction],
	});
	if (result === -ERRNO.ENOENT) return true; // nothing was ever attached here
	return result === 0 && attributes().count === 0;
}
