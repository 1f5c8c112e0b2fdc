/** How a host directs, as opposed to what it directs. */
import type { NetInterface } from "@l3dsr/linux";
import { L3dsrError } from "../../errors.ts";
import type { DirectorSettings } from "../../model/director.ts";
import type { HookName } from "../../rewrite/ebpf/kernel/attachment.ts";
import { refuseOpenChecksums } from "../../rewrite/ebpf/kernel/open-checksums.ts";

/** The places where a hook's program can be attached, best first. */
export const PLACES_OF: Readonly<Record<DirectorSettings["hook"], readonly [HookName, ...HookName[]]>> = {
	xdp: ["xdp"],
	"xdp-generic": ["xdp-generic"],
	tc: ["tcx", "clsact"],
};

/** Throws KERNEL_FEATURE if the director cannot work at this interface with `settings`. */
export function refuse(on: NetInterface, { hook, vlan, openChecksums }: DirectorSettings): void {
	const doing = `attach the director to ${on.name}`;
	if (hook !== "tc" && !on.ethernet) {
		throw new L3dsrError({
			code: "KERNEL_FEATURE",
			message: `${doing}: its frames have no Ethernet header, which XDP needs`,
			hint: "use hook: tc, with forward: kernel",
		});
	}
	if (hook === "tc" && vlan !== undefined) {
		throw new L3dsrError({
			code: "KERNEL_FEATURE",
			message: `${doing}: the kernel has taken VLAN tags off before tc sees a frame`,
			hint: "name the VLAN device as the interface, without vlan",
		});
	}
	if (hook !== "tc" && openChecksums === "refuse") refuseOpenChecksums(on);
}
