/** What the kernel refuses to this process, and what it hides from it. Most commands are refused nothing. */
import { type Attached, clsactIngress, interfacesWithIngress, probeBpfAccess, tcxIngress } from "@l3dsr/bpf";
import { listInterfaces, type NetInterface } from "@l3dsr/linux";
import type { Missing } from "../../../host/capabilities.ts";
import { PROGRAM_NAME } from "../compile/identity.ts";

/**
 * Asks bpf(2), which may refuse although the capabilities would allow it: a container's seccomp filter, a security
 * module.
 */
export function refusedByKernel(): Missing | undefined {
	const refusal = probeBpfAccess(["BPF_PROG_TYPE_SCHED_CLS", "BPF_PROG_TYPE_XDP"]);
	return refusal === undefined ? undefined : { kind: "bpf", ...refusal };
}

/**
 * Programs at our hooks that this process can count but not read: `program 12 at tcx ingress of eth0`. Empty if it
 * may not query the hooks either; then it cannot have attached anything there.
 */
export function hiddenPrograms(interfaces: readonly NetInterface[] = listInterfaces()): string[] {
	const withIngress = interfacesWithIngress();
	return interfaces.flatMap((on) => [
		...describe(
			asked(() => tcxIngress.query(on)),
			tcxIngress.name,
			on,
		),
		// A tc filter has its program's name, which any process may read.
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
		return []; // the interface is gone, or the hook is missing or not allowed
	}
}

function describe(found: readonly Attached[], place: string, on: NetInterface): string[] {
	return found.map(({ programId }) => `program ${programId} at ${place} of ${on.name}`);
}
