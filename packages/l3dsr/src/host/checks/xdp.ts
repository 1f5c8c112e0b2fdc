/** The drawbacks of the XDP hook on a device. */
import type { OpenChecksums } from "../../model/open-checksums.ts";
import type { InterfaceFacts } from "../facts.ts";
import { OPEN_CHECKSUM_DEVICES } from "../open-checksum-devices.ts";
import { type Check, type CheckFinding, realInterfaces } from "./check.ts";

/** Above this MTU, most drivers refuse XDP programs that need a packet in one buffer. */
const LARGEST_MTU = 3498;

export const checkXdp: Check = (input) => {
	const { hook, datapath, openChecksums } = input.configuration;
	if ((hook !== "xdp" && hook !== "xdp-generic") || datapath === "nft") return [];
	const on = realInterfaces(input);
	return [...xdpFindings(on, input.facts.interfaces, hook), ...openChecksumFindings(on, openChecksums)];
};

function openChecksumFindings(on: readonly InterfaceFacts[], openChecksums: OpenChecksums): CheckFinding[] {
	return on.flatMap(({ name, driver }): CheckFinding[] => {
		if (driver === undefined || !OPEN_CHECKSUM_DEVICES.has(driver)) return [];
		return [
			openChecksums === "accept"
				? {
						check: "xdp",
						severity: "warning",
						message: `XDP on ${name} (${driver}) cannot distinguish an open checksum from a complete one: packets that are rewritten there and forwarded leave with a wrong checksum, and TCP is slower without GRO and segmentation offload`,
						remedy: "hook: tc on virtual devices",
					}
				: {
						check: "xdp",
						severity: "error",
						message: `XDP on ${name} (${driver}) is refused: packets may arrive there without their checksum, which XDP cannot see`,
						remedy: "hook: tc; or open-checksums: accept, if no rewritten packet is forwarded",
					},
		];
	});
}

/** For XDP programs on some of a host's interfaces, whatever the programs do. */
export function xdpFindings(
	on: readonly InterfaceFacts[],
	all: readonly InterfaceFacts[],
	hook: string,
): CheckFinding[] {
	const check = "xdp";
	return on.flatMap(({ name, mtu, offloads }): CheckFinding[] => {
		const findings: CheckFinding[] = [];
		const vlans = all.filter((one) => one.driver === "vlan" && one.linked === name).map((one) => one.name);
		if (offloads?.takesVlanTags === true && vlans.length > 0) {
			findings.push({
				check,
				severity: "warning",
				message: `${name} removes VLAN tags before XDP sees a frame (rx-vlan-offload): frames of ${vlans.join(", ")} meet the rules of ${name}`,
				remedy: `ethtool -K ${name} rxvlan off, or hook: tc`,
			});
		}
		if (offloads?.mergesPackets === true && hook === "xdp") {
			findings.push({
				check,
				severity: "warning",
				message: `${name} merges packets before XDP sees them (large-receive-offload): most drivers then refuse native XDP`,
				remedy: `ethtool -K ${name} lro off, or hook: tc`,
			});
		}
		if (hook === "xdp-generic") {
			findings.push({
				check,
				severity: "warning",
				message: `generic XDP on ${name} runs after the buffer is built, without the helper that keeps the card's own checksum right, and is not faster than tc`,
				remedy: "hook: tc, unless this is a test",
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
}
