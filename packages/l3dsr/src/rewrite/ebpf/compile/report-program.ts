/** The reporting program of one interface: the running program's rules, compiled again to report rewrites. */

import type { MapSpec, ProgramSpec } from "@l3dsr/bpf";
import { compileProgram } from "./compile.ts";
import { REPORT_PROGRAM } from "./identity.ts";
import type { InterfaceRules } from "./interface-rules.ts";
import type { ReportTarget } from "./target.ts";

/**
 * `ring`: the buffer for events. The program has its own counter map, so watching does not change the rules'
 * counters.
 */
export function compileReport(
	rules: InterfaceRules,
	linkHeaderBytes: 0 | 14,
	report: ReportTarget,
	ring: MapSpec,
): ProgramSpec {
	const slots = Math.max(...rules.rules.map(({ slot }) => slot)) + 1;
	const target = {
		hook: "tc",
		linkHeaderBytes,
		ipv6ChecksumFlag: false,
		report: { ...report, ring },
	} as const;
	return { ...compileProgram(rules, target, slots), name: REPORT_PROGRAM };
}
