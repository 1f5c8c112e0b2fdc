/** Whether this process may use eBPF, and what it cannot know of programs where it may not. */
import { type Attached, clsactIngress, interfacesWithIngress, probeBpfAccess, tcxIngress } from "@l3dsr/bpf";
import { ERRNO, listInterfaces, type NetInterface, SyscallError } from "@l3dsr/linux";
import { type Missing, missingFor, readAuthority } from "../../../host/capabilities.ts";
import { PROGRAM_NAME } from "../compile/identity.ts";

/** From its capabilities alone. */
export function missingForPrograms(): Missing | undefined {
	return missingFor("programs", readAuthority());
}

/** What bpf(2) refuses although capabilities would allow it: a container's filter, a security module. */
export function refusedByKernel(): Missing | undefined {
	const refusal = probeBpfAccess(["BPF_PROG_TYPE_SCHED_CLS", "BPF_PROG_TYPE_XDP"]);
	return refusal === undefined ? undefined : { kind: "bpf", ...refusal };
}

/** A refusal of bpf(2) itself, not of what it was asked for: ENOSYS is a kernel, or a filter, without the call. */
export function isRefusal(error: unknown): boolean {
	const errors: readonly number[] = [ERRNO.EPERM, ERRNO.EACCES, ERRNO.ENOSYS];
	return error instanceof SyscallError && errors.includes(error.errno);
}

/**
 * Programs at hooks where ours would be, which this process can count but not look at: `program 12 at tcx ingress of
 * eth0`. Empty where the hooks cannot be asked either: who may not ask there may not have attached there.
 */
export function hiddenPrograms(interfaces: readonly NetInterface[] = listInterfaces()): string[] {
	const withIngress = interfacesWithIngress();
	return interfaces.flatMap((on) => [
		...describe(
			asked(() => tcxIngress.query(on)),
			tcxIngress.name,
			on,
		),
		// The filter's name is the program's, and everybody may read it.
		...describe(
			withIngress.has(on.index)
				? asked(() => clsactIngress.query(on)).filter(({ name }) => name === PROGRAM_NAME.tc)
				: [],
			clsactIngress.name,
			on,
		),
		...(on.xdp ? [`the program at XDP of ${on.name}`] : []),
	]);
}

function asked<A extends Attached>(query: () => readonly A[]): readonly A[] {
	try {
		return query();
	} catch {
		return []; // the interface is gone, or this hook is not there, or not for us
	}
}

function describe(found: readonly Attached[], place: string, on: NetInterface): string[] {
	return found.map(({ programId }) => `program ${programId} at ${place} of ${on.name}`);
}
