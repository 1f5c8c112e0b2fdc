/** All checks of a director, in the order in which a packet meets what they check. Pure. */
import type { CheckFinding } from "../../host/checks/check.ts";
import { xdpFindings } from "../../host/checks/xdp.ts";
import { OPEN_CHECKSUM_DEVICES } from "../../host/open-checksum-devices.ts";
import { checkHeld, checkPools } from "./fleet.ts";
import { type DirectorCheck, type DirectorCheckInput, ownInterfaces } from "./input.ts";
import {
	checkDscpAfterwards,
	checkForwarding,
	checkRedirects,
	checkReversePath,
} from "./kernel-forwarding.ts";
import { checkEcho, checkVipsHere } from "./vips.ts";
import { checkMtu, checkRoutes } from "./ways.ts";

const checkRefused: DirectorCheck = ({ refused }) =>
	refused === undefined
		? []
		: [
				{
					check: "director",
					severity: "error",
					message: `up will refuse to ${refused.message}`,
					remedy: refused.hint ?? "change the director in l3dsr.yaml",
				},
			];

const checkInterfaces: DirectorCheck = (input) => {
	const { settings, facts } = input;
	const down = ownInterfaces(input).filter(({ up }) => !up);
	return [
		...down.map(
			({ name }): CheckFinding => ({
				check: "director",
				severity: "error",
				message: `${name} is down: packets for VIPs cannot arrive there`,
				remedy: `ip link set ${name} up`,
			}),
		),
		...(settings.hook === "tc" ? [] : xdpFindings(ownInterfaces(input), facts.interfaces, settings.hook)),
		...openChecksums(input),
	];
};

/** If such interfaces are refused, `up` reports that. */
const openChecksums: DirectorCheck = (input) => {
	const { hook, openChecksums: choice } = input.settings;
	if (hook === "tc" || choice === "refuse") return [];
	return ownInterfaces(input).flatMap(({ name, driver }): CheckFinding[] => {
		if (driver === undefined || !OPEN_CHECKSUM_DEVICES.has(driver)) return [];
		return [
			{
				check: "xdp",
				severity: "warning",
				message: `packets may come to ${name} (${driver}) without their checksum, which XDP cannot see: real servers would drop them`,
				remedy: "disable checksum offload on every sender behind it (ethtool -K DEV tx off), or use hook: tc",
			},
		];
	});
};

const CHECKS: readonly DirectorCheck[] = [
	checkRefused,
	checkInterfaces,
	checkVipsHere,
	checkEcho,
	checkPools,
	checkHeld,
	checkRoutes,
	checkMtu,
	checkForwarding,
	checkReversePath,
	checkRedirects,
	checkDscpAfterwards,
];

export function runDirectorChecks(input: DirectorCheckInput): CheckFinding[] {
	return CHECKS.flatMap((check) => check(input));
}
