/** Whether this process may use eBPF, judging by what it is. */
import { ERRNO, SyscallError } from "@l3dsr/linux";
import { type Missing, missingFor, readAuthority } from "../../../host/capabilities.ts";

/** Decides from the process's capabilities alone. */
export function missingForPrograms(): Missing | undefined {
	return missingFor("programs", readAuthority());
}

/** True if bpf(2) itself is refused, not only its arguments: ENOSYS means a kernel or a filter without the call. */
export function isRefusal(error: unknown): boolean {
	const errors: readonly number[] = [ERRNO.EPERM, ERRNO.EACCES, ERRNO.ENOSYS];
	return error instanceof SyscallError && errors.includes(error.errno);
}
