/** What to compile the program of an interface for. */
import { probeFeature } from "@l3dsr/bpf";
import type { NetInterface } from "@l3dsr/linux";
import type { DirectorSettings } from "../../model/director.ts";
import { encodeAbout, type ProgramSettings } from "../compile/about.ts";
import type { BalanceWish } from "../service.ts";
import type { Attachment } from "./attachments.ts";

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

/** True if the program can stay: it was compiled for `wanted`, by this version, and no other program runs before it. */
export function isAsWanted(current: Attachment | undefined, wanted: ProgramSettings): current is Attachment {
	const settings = current?.behind.length === 0 ? current.settings : undefined;
	return settings !== undefined && Buffer.compare(encodeAbout(settings), encodeAbout(wanted)) === 0;
}
