/** Everything that status and diff know: where the host differs from its configuration. */
import { sameAddress } from "@l3dsr/packet";
import { type Finding, sameFinding } from "../../model/finding.ts";
import { type Check, type CheckFinding, loopbackOf } from "./check.ts";

/** Drift that affects packets; the rest is only untidy. */
const ERRORS: ReadonlySet<Finding["kind"]> = new Set(["rule-missing", "answers-missing", "damage"]);
/**
 * Services that foreign rules serve count as served. A director that was never started looks the same as
 * one that was removed.
 */
const NOTES: ReadonlySet<Finding["kind"]> = new Set(["rule-to-take-over", "director", "director-missing"]);

export const checkDrift: Check = ({ configuration, drift, started, silencing, facts }) => {
	const refused: CheckFinding[] =
		silencing === undefined
			? []
			: [
					{
						check: "drift",
						severity: "error",
						message: `up will refuse to ${silencing}`,
						remedy: "correct the name in the configuration, or l3dsr down first",
					},
				];
	if (!started && configuration.services.length > 0) {
		const count = configuration.services.length;
		return [
			...refused,
			{
				check: "drift",
				severity: "note",
				message: `nothing of ${count === 1 ? "the service" : `the ${count} services`} is on this host yet`,
				remedy: "l3dsr up",
			},
		];
	}
	const told = drift.filter(
		(one, index) =>
			// Whether the kernel delivers a VIP is a separate check.
			one.kind !== "address-missing" && drift.findIndex((other) => sameFinding(one, other)) === index,
	);
	const lo = loopbackOf(facts);
	// A VIP that another interface has too is delivered all the same.
	const isLost = configuration.services.some(
		({ vip }) => !facts.routes.delivered.some((one) => sameAddress(one, vip)),
	);
	return [
		...refused,
		...told.map(
			({ kind, object, problem }): CheckFinding => ({
				check: "drift",
				severity: ERRORS.has(kind) ? "error" : NOTES.has(kind) ? "note" : "warning",
				message: `${object} ${problem}`,
				remedy: "l3dsr diff shows what up would change; l3dsr up applies it",
			}),
		),
		...(lo?.up === false
			? [
					{
						check: "drift",
						severity: isLost ? ("error" as const) : ("warning" as const),
						message: "lo is down: the kernel delivers nothing to its addresses",
						remedy: "ip link set lo up",
					},
				]
			: []),
	];
};
