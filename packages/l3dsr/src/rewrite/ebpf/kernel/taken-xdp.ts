/** An interface takes only one XDP program, native or generic: the error if there is one already. */
import { Program } from "@l3dsr/bpf";
import type { NetInterface } from "@l3dsr/linux";
import { L3dsrError } from "../../../errors.ts";
import { PROGRAM_NAME } from "../compile/identity.ts";
import { type HookName, PLACES } from "./attachment.ts";

/** Throws L3dsrError (KERNEL_SYSCALL) if `hook` is an XDP hook and another program is attached. */
export function refuseTakenXdp(on: NetInterface, hook: HookName, what = "the rules"): void {
	if (PLACES[hook].program !== "xdp") return;
	for (const at of ["xdp", "xdp-generic"] as const) {
		for (const id of PLACES[at].query(on)) {
			using program = Program.open(id);
			const ours = program.name === PROGRAM_NAME.xdp;
			throw new L3dsrError({
				code: "KERNEL_SYSCALL",
				message: `attach ${what} of ${on.name} to ${PLACES[hook].name}: program ${program.name} (id ${id}) is at ${PLACES[at].name}, and an interface has one XDP program`,
				hint: ours
					? "move the rules to hook: tc first, then here"
					: "use hook: tc, or remove that program (ip link set dev NAME xdp off)",
			});
		}
	}
}
