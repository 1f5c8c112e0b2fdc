/** What the XDP hook gives up on a device. */
import { type Check, type CheckFinding, realInterfaces } from "./check.ts";

/** Above it most drivers refuse XDP programs that take one buffer a packet. */
const LARGEST_MTU = 3498;

export const checkXdp: Check = (input) => {
	const { hook, datapath } = input.configuration;
	if (hook === "tc" || datapath === "nft") return [];
	const check = "xdp";
	return realInterfaces(input).flatMap(({ name, driver, mtu }): CheckFinding[] => {
		const findings: CheckFinding[] = [];
		if (hook === "xdp-generic") {
			findings.push({
				check,
				severity: "warning",
				message: `generic XDP on ${name} runs after the buffer is built, without the helper that keeps the card's own checksum right, and is no faster than tc`,
				remedy: "hook: tc, unless this is a test",
			});
		} else if (driver === undefined || driver === "virtio_net") {
			findings.push({
				check,
				severity: "warning",
				message: `native XDP on ${name} (${driver ?? "a virtual device"}) switches GRO and segmentation offload off: TCP gets slower, not faster`,
				remedy: "hook: tc on virtual devices",
			});
		}
		if (hook === "xdp" && mtu > LARGEST_MTU) {
			findings.push({
				check,
				severity: "error",
				message: `${name} has an MTU of ${mtu}: most drivers refuse native XDP above ${LARGEST_MTU}`,
				remedy: "hook: tc, or a smaller MTU",
			});
		}
		return findings;
	});
};
