/** Turns the state of a check into the record that other processes read. Pure. */
import { type FoundCheck, type RealCheck, realKey } from "../../model/real-check.ts";
import { failureText } from "./failure.ts";
import type { CheckState } from "./health-checks.ts";

export function foundCheck(state: CheckState): FoundCheck {
	const { vip, address, services } = state;
	return {
		reals: services.map(({ protocol, port }) =>
			realKey({ vip: vip.text, protocol, port, address: address.text }),
		),
		check: realCheck(state),
	};
}

function realCheck({ type, state, checked, since, failures, failure, tookMs }: CheckState): RealCheck {
	return {
		type,
		state: !checked ? "unknown" : state === "healthy" ? "healthy" : "unhealthy",
		since: new Date(since).toISOString(),
		failures,
		...(failure === undefined ? {} : { reason: failureText(failure) }),
		...(tookMs === undefined ? {} : { durationMs: Number(tookMs.toFixed(1)) }),
	};
}
