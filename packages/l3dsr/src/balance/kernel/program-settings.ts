/** What to compile the program of an interface for. */
import { probeFeature } from "@l3dsr/bpf";
import type { NetInterface } from "@l3dsr/linux";
import type { DirectorSettings } from "../../model/director.ts";
import { encodeAbout, type ProgramSettings } from "../compile/about.ts";
import type { BalanceWish } from "../service.ts";

export function programSettings(
	on: NetInterface,
	settings: DirectorSettings,
	wish: BalanceWish,
): ProgramSettings {
	const hook = settings.hook === "tc" ? "tc" : "xdp";
	return {
		hook,
		ifindex: on.index,
		...(on.ethernet ? { mac: on.linkAddress } : {}),
		...(settings.vlan === undefined ? {} : { vlan: settings.vlan }),
		forward: hook === "tc" ? "kernel" : settings.forward,
		flows: settings.flows,
		bleach: settings.bleach,
		anyPort: wish.services.some(({ port }) => port === 0),
		echoReply: wish.addresses.some(({ echo }) => echo === "reply"),
		ipv6ChecksumFlag: hook === "tc" && probeFeature("csumReplaceIpv6").answer === "yes",
		clock: probeFeature("coarseClock").answer === "yes" ? "bpf_ktime_get_coarse_ns" : "bpf_ktime_get_ns",
	};
}

/** `current`: undefined if another version made the program. */
export function sameSettings(current: ProgramSettings | undefined, wanted: ProgramSettings): boolean {
	return current !== undefined && Buffer.compare(encodeAbout(current), encodeAbout(wanted)) === 0;
}
