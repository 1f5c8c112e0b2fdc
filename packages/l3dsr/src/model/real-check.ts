/** What health checks have found out about real servers: as the agent tells it, and as `status` shows it. Plain data. */
import type { CheckType } from "./fleet.ts";

export interface RealCheck {
	readonly type: CheckType;
	/** `unknown`: no result yet. */
	readonly state: "healthy" | "unhealthy" | "unknown";
	/** When it came into this state: ISO 8601, UTC. */
	readonly since: string;
	/** In a row. */
	readonly failures: number;
	/** Why the latest check failed; absent after a success. */
	readonly reason?: string;
	/** How long the latest check took. */
	readonly durationMs?: number;
}

/** A service and a real server of it, by what both have in a packet. */
export interface DirectedReal {
	readonly vip: string;
	/** IP protocol number. */
	readonly protocol: number;
	/** 0: any. */
	readonly port: number;
	/** Of the real server. */
	readonly address: string;
}

/** Undefined where nobody checks. */
export type FindCheck = (real: DirectedReal) => RealCheck | undefined;

/** One question, and the services whose real server it is asked of. */
export interface FoundCheck {
	/** As {@link realKey} has them. */
	readonly reals: readonly string[];
	readonly check: RealCheck;
}

/** By these a check is found: `192.0.2.10 6 443 10.1.0.11`. */
export function realKey({ vip, protocol, port, address }: DirectedReal): string {
	return `${vip} ${protocol} ${port} ${address}`;
}

export function findIn(found: readonly FoundCheck[]): FindCheck {
	const byReal = new Map(found.flatMap(({ reals, check }) => reals.map((real) => [real, check] as const)));
	return (real) => byReal.get(realKey(real));
}
