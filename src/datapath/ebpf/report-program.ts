/** The reporting program of one interface: what runs there, compiled once more with events for rewrites. */
import { tidy } from "../../bpf/builder/tidy.ts";
import type { MapSpec, ProgramSpec } from "../../bpf/spec.ts";
import { compileProgram } from "./compile.ts";
import type { InterfaceRules } from "./interface-rules.ts";
import { CONTROL_MAP, FLOWS_MAP, REPORT_PROGRAM, type ReportTarget } from "./report.ts";

/**
 * `ring` is the buffer that events go to. The counter map is the program's own: the rules' counters do not
 * move when somebody watches.
 */
export function compileReport(
	rules: InterfaceRules,
	linkHeaderBytes: 0 | 14,
	report: ReportTarget,
	ring: MapSpec,
): ProgramSpec {
	const slots = Math.max(...rules.rules.map(({ slot }) => slot)) + 1;
	const spec = compileProgram(rules, { hook: "tc", linkHeaderBytes, ipv6ChecksumFlag: false, report }, slots);
	return {
		...spec,
		name: REPORT_PROGRAM,
		instructions: withoutRewriting(spec.instructions),
		maps: [...spec.maps, ring, CONTROL_MAP, ...(report.flows ? [FLOWS_MAP] : [])],
	};
}

/** Behind a report nothing is reached: the transport checksum and the like, which the verifier would refuse. */
function withoutRewriting(instructions: ProgramSpec["instructions"]): ProgramSpec["instructions"] {
	let comment: string | undefined;
	return tidy(
		instructions.map((one) => {
			const { symbol, comment: own, ...instruction } = one;
			comment = own ?? comment;
			return { instruction, comment, labels: symbol === undefined ? [] : [symbol] };
		}),
	);
}
