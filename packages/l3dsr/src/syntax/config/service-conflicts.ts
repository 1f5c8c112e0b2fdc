/** Conflicts between services, reported with both positions, whichever files they are in. */
import type { Diagnostic, Position } from "../../errors.ts";
import { findConflicts } from "../../model/selection.ts";
import type { Selection } from "../../model/service.ts";
import { LIMITS } from "../limits.ts";
import { withMoreNote } from "../problems.ts";
import { sortDiagnostics } from "./document.ts";
import type { PlacedService } from "./parse-config.ts";

/** One diagnostic for each conflict, at the later of the two services, in the order of files and lines. */
export function conflictDiagnostics(placed: readonly PlacedService[]): Diagnostic[] {
	const conflicts = findConflicts(
		placed.map(({ service }) => service),
		LIMITS.problems,
	);
	const diagnostics = conflicts.flatMap(({ kind, first, second }): Diagnostic[] => {
		const earlier = placed[Math.min(first, second)];
		const later = placed[Math.max(first, second)];
		const rewriter = placed[first]?.service;
		if (earlier === undefined || later === undefined || rewriter === undefined) return [];
		const { vip, selection } = earlier.service;
		const code = later.service.selection?.dscp;
		const notes = [`first used at ${spot(earlier.place)}`];
		if (kind === "chain") {
			return [
				{
					code: "MODEL_REWRITE_CHAIN",
					message: `a packet that is rewritten to ${rewriter.vip.text} would then be rewritten to ${placed[second]?.service.vip.text}`,
					position: later.place,
					notes: [`the other service is at ${spot(earlier.place)}`],
					hint: "no service may select what another one produces: its new port, or DSCP 0",
				},
			];
		}
		if (kind === "answer") {
			return [
				{
					code: "MODEL_ANSWER_CONFLICT",
					message: `answers from port ${rewriter.setPort} of VIP ${rewriter.vip.text} could belong to two services: set-port translates back only the answers of its own service`,
					position: later.place,
					notes: [`the other service is at ${spot(earlier.place)}`],
					hint: "let their servers listen on different ports",
				},
			];
		}
		if (selection !== undefined && code !== undefined && selection.dscp === code) {
			const same = vip.text === later.service.vip.text;
			return [
				{
					code: "MODEL_DSCP_CONFLICT",
					message: same
						? `DSCP ${code} already selects VIP ${vip.text}, with other options`
						: `DSCP ${code} already selects VIP ${vip.text}`,
					position: later.place,
					notes,
					...hintFor(selection, later.service.selection ?? {}),
				},
			];
		}
		return [
			{
				code: "MODEL_SELECTION_CONFLICT",
				message: `a packet could belong to VIP ${later.service.vip.text} or to VIP ${vip.text}: their selections overlap`,
				position: later.place,
				notes: [`the other service is at ${spot(earlier.place)}`],
				hint: "separate them by dscp, mark, ports, interface or real address",
			},
		];
	});
	return withMoreNote(sortDiagnostics(diagnostics), conflicts.length >= LIMITS.problems);
}

/** Keys of l3dsr.yaml by the condition that they set. */
const CONDITIONS = {
	mark: "mark",
	interfaces: "interface",
	real: "real",
	protocols: "protocol",
	ports: "ports",
};

/** A hint if the services look separate but are not: a condition separates two services only if both set it. */
function hintFor(earlier: Selection, later: Selection): { hint?: string } {
	const ofOneOnly = (one: Selection, other: Selection) =>
		(Object.keys(CONDITIONS) as (keyof typeof CONDITIONS)[])
			.filter((key) => one[key] !== undefined && other[key] === undefined)
			.map((key) => CONDITIONS[key]);
	const [here, there] = [ofOneOnly(later, earlier), ofOneOnly(earlier, later)].sort(
		(a, b) => b.length - a.length,
	);
	const list = (keys: readonly string[] = []) =>
		`${keys.join(", ")} ${keys.length === 1 ? "is a condition" : "are conditions"}`;
	if (here === undefined || here.length === 0) return {};
	const rest = there === undefined || there.length === 0 ? "" : `, and ${there.join(", ")} of the other`;
	return { hint: `${list(here)} of only one of them${rest}: a packet can match both` };
}

function spot({ source, line, column }: Position): string {
	return `${source}:${line}:${column}`;
}
