/** The state of a host in one sentence. Pure. */
import type { FindingRecord, StatusRecord } from "@l3dsr/records";
import { counted } from "./format.ts";
import { poolsOf } from "./pools.ts";
import { rowsOf, type Tone } from "./services.ts";

export interface Verdict {
	readonly tone: Tone;
	readonly headline: string;
	/** Further details in a few words. */
	readonly beside: string;
}

export function verdictOf(status: StatusRecord, findings: readonly FindingRecord[]): Verdict {
	const rows = rowsOf(status);
	const wanted = rows.filter(({ tone }) => tone !== "idle");
	const wrong = wanted.filter(({ tone }) => tone !== "good");
	const bad = wrong.some(({ tone }) => tone === "bad");
	const errors = findings.filter(({ severity }) => severity === "error").length;
	const warnings = findings.filter(({ severity }) => severity === "warning").length;
	const headline =
		rows.length === 0
			? "No services"
			: wrong.length === 0
				? `${wanted.length === 1 ? "The service is" : `All ${wanted.length} services are`} up${errors > 0 ? `, with ${counted(errors, "error")}` : ""}`
				: `${wrong.length} of ${counted(wanted.length, "service")} ${wrong.length === 1 ? "is" : "are"} not up`;
	const idle = rows.length - wanted.length;
	const reals = realsOf(status);
	const realsDown = reals === undefined ? 0 : reals.down;
	const beside = [
		...(realsDown > 0 ? [`${counted(realsDown, "real server")} down`] : []),
		...(idle > 0 ? [`${idle} stopped`] : []),
		status.drift.length === 0 ? "no drift" : `drift in ${counted(status.drift.length, "place")}`,
		...(errors > 0 && wrong.length > 0 ? [counted(errors, "error")] : []),
		...(warnings > 0 ? [counted(warnings, "warning")] : []),
	].join(", ");
	const tone =
		bad || errors > 0
			? "bad"
			: wrong.length > 0 || warnings > 0 || realsDown > 0 || status.drift.length > 0
				? "warn"
				: "good";
	return { tone: rows.length === 0 ? "idle" : tone, headline, beside };
}

/** The number of repairs by the agent, and their most frequent reason. */
export function repairsOf({ agent }: StatusRecord): {
	readonly total: number;
	readonly mostly: string | undefined;
} {
	const causes = Object.entries(agent?.counts.repairs ?? {}).filter(([, count]) => count > 0);
	const total = causes.reduce((sum, [, count]) => sum + count, 0);
	const [most] = causes.toSorted(([, a], [, b]) => b - a);
	return { total, mostly: most?.[0] };
}

export interface RealCount {
	/** Up for every service that uses them: they get new flows. */
	readonly up: number;
	/** Real servers with a failing check. */
	readonly down: number;
	readonly total: number;
}

/** Directors only: its real servers, each counted once even if several services use it. */
export function realsOf({ director }: StatusRecord): RealCount | undefined {
	if (director === undefined) return undefined;
	const pools = poolsOf(director).flatMap(({ reals }) => reals);
	const count = (wanted: string): number => pools.filter(({ state }) => state === wanted).length;
	return { up: count("up"), down: count("down"), total: pools.length };
}
