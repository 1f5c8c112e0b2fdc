/** Every check, in the order in which a packet meets their subjects. */
import { checkArp } from "./arp.ts";
import { bySeverity, type Check, type CheckFinding, type CheckInput } from "./check.ts";
import { checkConnectionTracking } from "./connection-tracking.ts";
import { checkDatapath } from "./datapath.ts";
import { checkDrift } from "./drift.ts";
import { checkDscpClass } from "./dscp-class.ts";
import { checkDscpRemarked } from "./dscp-remarked.ts";
import { checkIpv6Disabled } from "./ipv6-disabled.ts";
import { checkLaterFragments } from "./later-fragments.ts";
import { checkListeners } from "./listeners.ts";
import { checkNames } from "./names.ts";
import { checkOldModule } from "./old-module.ts";
import { checkReversePath } from "./reverse-path.ts";
import { checkServedInterfaces } from "./served-interfaces.ts";
import { checkVipOnLoopback } from "./vip-on-loopback.ts";
import { checkWayBack } from "./way-back.ts";
import { checkXdp } from "./xdp.ts";

const CHECKS: readonly Check[] = [
	checkDrift,
	checkArp,
	checkServedInterfaces,
	checkDatapath,
	checkXdp,
	checkDscpRemarked,
	checkDscpClass,
	checkOldModule,
	checkConnectionTracking,
	checkReversePath,
	checkWayBack,
	checkLaterFragments,
	checkIpv6Disabled,
	checkVipOnLoopback,
	checkListeners,
	checkNames,
];

/** Findings of all checks, errors first. */
export function runChecks(input: CheckInput): CheckFinding[] {
	return CHECKS.flatMap((check) => check(input)).sort(bySeverity);
}
