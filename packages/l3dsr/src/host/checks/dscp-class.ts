/** A code that already has a meaning: marked packets that no director sent would be taken for the VIP's. */
import { formatDscp } from "@l3dsr/packet";
import { type Check, type CheckFinding, titleOf } from "./check.ts";

/** DSCP → who uses it. */
const IN_USE: Readonly<Record<number, string>> = {
	8: "CS1, scavenger traffic and bulk transfers of older OpenSSH",
	18: "AF21, interactive sessions of OpenSSH before 10",
	44: "VOICE-ADMIT (RFC 5865)",
	46: "EF, voice (RFC 3246)",
	48: "CS6, routing protocols such as BGP and OSPF",
	56: "CS7, network control",
};

export const checkDscpClass: Check = ({ configuration, facts }) =>
	configuration.services.flatMap((service): CheckFinding[] => {
		const code = service.selection?.dscp;
		if (code === undefined) return [];
		const check = "dscp-class";
		if (code === 0) {
			return [
				{
					check,
					severity: service.selection?.real === undefined ? "error" : "warning",
					message: `${titleOf(service)} selects DSCP 0, which every unmarked packet carries: all traffic to this host becomes the VIP's`,
					remedy: "choose another code, on the director too",
				},
			];
		}
		const writer = facts.dscpWriters.find(
			({ value, family = service.vip.family }) => value === code && family === service.vip.family,
		);
		if (writer !== undefined) {
			return [
				{
					check,
					severity: "warning",
					message: `${titleOf(service)} selects DSCP ${formatDscp(code)}, which ${writer.place} writes for a class of its own`,
					remedy: "choose another code, on the director too",
				},
			];
		}
		const use = IN_USE[code];
		if (use === undefined) return [];
		return [
			{
				check,
				severity: "warning",
				message: `${titleOf(service)} selects DSCP ${formatDscp(code)}, which is also ${use}`,
				remedy: "choose a code that the network does not use, on the director too",
			},
		];
	});
