/** The pools of a director, each with the services that use it: the matrix of VIPs and real servers. Pure. */
import type { DirectedServiceRecord, DirectorRecord } from "@l3dsr/records";
import { duration, elapsed, exact } from "./format.ts";
import type { Tone } from "./services.ts";

type Real = DirectedServiceRecord["reals"][number];

export interface PoolView {
	readonly name: string;
	readonly services: readonly DirectedServiceRecord[];
	/** The real servers of all its services by name, in the order of the configuration. */
	readonly reals: readonly PoolReal[];
	readonly tone: Tone;
}

export interface PoolReal {
	readonly name: string;
	/** One for each family. */
	readonly addresses: readonly string[];
	readonly weight: number;
	/** The worst state in any of its services. */
	readonly state: Real["state"];
	readonly reason?: string;
}

export const REAL_STATES: Readonly<Record<Real["state"], { readonly tone: Tone; readonly sign: string }>> = {
	up: { tone: "good", sign: "✓" },
	down: { tone: "bad", sign: "✕" },
	drain: { tone: "warn", sign: "↘" },
	leaving: { tone: "warn", sign: "↘" },
	starting: { tone: "idle", sign: "…" },
	disabled: { tone: "idle", sign: "■" },
};

const WORST_FIRST: readonly Real["state"][] = ["down", "leaving", "drain", "starting", "disabled", "up"];

export function poolsOf({ services }: DirectorRecord): readonly PoolView[] {
	const byName = Map.groupBy(services, ({ pool }) => pool);
	return [...byName].map(([name, users]) => {
		const reals = realsOf(users);
		return { name, services: users, reals, tone: toneOf(users, reals) };
	});
}

function realsOf(services: readonly DirectedServiceRecord[]): readonly PoolReal[] {
	const byName = Map.groupBy(
		services.flatMap(({ reals }) => reals),
		({ name }) => name,
	);
	return [...byName].flatMap(([name, found]): PoolReal[] => {
		const worst = found.toSorted((a, b) => WORST_FIRST.indexOf(a.state) - WORST_FIRST.indexOf(b.state))[0];
		if (worst === undefined) return [];
		const { weight, state, reason } = worst;
		const addresses = [...new Set(found.map(({ address }) => address))];
		return [{ name, addresses, weight, state, ...(reason === undefined ? {} : { reason }) }];
	});
}

/** `http check ok for 18 h, 0.8 ms`, short enough for one line: what the agent's check of a real server found, at `timeMs`. */
export function checkText(
	{ type, state, since, failures, durationMs }: NonNullable<Real["check"]>,
	timeMs: number,
): string {
	if (state === "unknown") return `${type} check: no result yet`;
	const lasts = since === undefined ? undefined : duration(timeMs - Date.parse(since));
	if (state === "unhealthy") {
		return `${type} check failed ${exact(failures)}×${lasts === undefined ? "" : `, ${lasts}`}`;
	}
	const took = durationMs === undefined ? "" : `, ${elapsed(durationMs)}`;
	return `${type} check ok${lasts === undefined ? "" : ` for ${lasts}`}${took}`;
}

function toneOf(services: readonly DirectedServiceRecord[], reals: readonly PoolReal[]): Tone {
	if (services.some(({ state }) => state === "down")) return "bad";
	if (services.some(({ state }) => state === "floor")) return "warn";
	return reals.some(({ state }) => state === "down") ? "warn" : "good";
}

/** The record of that real server in the service. */
export function cellOf(service: DirectedServiceRecord, real: PoolReal): Real | undefined {
	return service.reals.find(({ name }) => name === real.name);
}
