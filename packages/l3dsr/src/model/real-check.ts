/** The results of health checks, as the agent reports them and `status` shows them. Plain data. */
import type { CheckType } from "./fleet.ts";

export interface RealCheck {
	readonly type: CheckType;
	/** `unknown`: no result yet. */
	readonly state: "healthy" | "unhealthy" | "unknown";
	/** When this state began: ISO 8601, UTC. */
	readonly since: string;
	/** Failures in a row. */
	readonly failures: number;
	/** Why the latest check failed; absent after a success. */
	readonly reason?: string;
	/** How long the latest check took. */
	readonly durationMs?: number;
}

/** A service and one of its real servers, identified by what their packets contain. */
export interface DirectedReal {
	readonly vip: string;
	/** IP protocol number. */
	readonly protocol: number;
	/** 0: any port. */
	readonly port: number;
	/** Address of the real server. */
	readonly address: string;
}

/** Undefined if no checks run. */
export type FindCheck = (real: DirectedReal) => RealCheck | undefined;

/** One question, and the services and real servers that it is asked for. */
export interface FoundCheck {
	/** Keys from {@link realKey}. */
	readonly reals: readonly string[];
	readonly check: RealCheck;
}

/** Key of a check: `192.0.2.10 6 443 10.1.0.11`. */
export function realKey({ vip, protocol, port, address }: DirectedReal): string {
	return `${vip} ${protocol} ${port} ${address}`;
}

export function findIn(found: readonly FoundCheck[]): FindCheck {
	const byReal = new Map(found.flatMap(({ reals, check }) => reals.map((real) => [real, check] as const)));
	return (real) => byReal.get(realKey(real));
}
