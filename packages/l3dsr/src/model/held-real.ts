/** Real servers that the operator of one director has taken out of use there, overriding the fleet. Pure. */
import { type Fleet, type RealState, usePool } from "./fleet.ts";

/** By name, because the fleet may lose the real server and get it back. */
export interface RealName {
	readonly pool: string;
	readonly real: string;
}

export interface HeldReal extends RealName {
	readonly state: Exclude<RealState, "enabled">;
	/** RFC 3339, UTC. */
	readonly since: string;
}

const STRICTNESS: Readonly<Record<RealState, number>> = { enabled: 0, drain: 1, disabled: 2 };

/**
 * The fleet with the states that apply on this host: for each real server the more restrictive one of the fleet's and
 * the operator's. So a host's override never brings back what the fleet's table takes out of use.
 */
export function withHeld(fleet: Fleet, held: readonly HeldReal[]): Fleet {
	if (held.length === 0) return fleet;
	return {
		...fleet,
		pools: fleet.pools.map((pool) => ({
			...pool,
			reals: pool.reals.map((real) => {
				const own = held.find((one) => one.pool === pool.name && one.real === real.name);
				return own === undefined || STRICTNESS[own.state] <= STRICTNESS[real.state]
					? real
					: { ...real, state: own.state };
			}),
		})),
	};
}

/** Names of the pools whose last real server that takes new flows is held in `after` and was not in `before`. */
export function emptiedPools(
	fleet: Fleet,
	{ before, after }: { readonly before: readonly HeldReal[]; readonly after: readonly HeldReal[] },
): string[] {
	const serving = (held: readonly HeldReal[]) =>
		withHeld(fleet, held).pools.filter((pool) => usePool(pool, []).serves.includes(true));
	const left = new Set(serving(after).map(({ name }) => name));
	return serving(before).flatMap(({ name }) => (left.has(name) ? [] : [name]));
}

export function sameReal(a: RealName, b: RealName): boolean {
	return a.pool === b.pool && a.real === b.real;
}

export function realText({ pool, real }: RealName): string {
	return `${pool}/${real}`;
}

/**
 * The real servers that an operator's word names: `POOL/NAME`, the name in every pool, or an address. Held ones that
 * are no longer in the fleet can also be named, so that they can be forgotten.
 */
export function realsMeant(word: string, fleet: Fleet, held: readonly HeldReal[]): RealName[] {
	const known = fleet.pools.flatMap((pool) =>
		pool.reals.map(({ name, addresses }) => ({ pool: pool.name, real: name, addresses })),
	);
	const gone = held
		.filter((one) => !known.some((other) => sameReal(one, other)))
		.map(({ pool, real }) => ({ pool, real, addresses: [] }));
	return [...known, ...gone]
		.filter(
			(one) => realText(one) === word || one.real === word || one.addresses.some(({ text }) => text === word),
		)
		.map(({ pool, real }) => ({ pool, real }));
}

/**
 * The held real servers after `reals` were set to `state`. One that was already held with that state keeps its time.
 */
export function holdReals(
	held: readonly HeldReal[],
	reals: readonly RealName[],
	state: RealState,
	now: Date,
): HeldReal[] {
	const others = held.filter((one) => !reals.some((real) => sameReal(one, real)));
	if (state === "enabled") return others;
	const since = now.toISOString();
	const these = reals.map(({ pool, real }): HeldReal => {
		const before = held.find((one) => sameReal(one, { pool, real }));
		return before?.state === state ? before : { pool, real, state, since };
	});
	return [...others, ...these].sort((a, b) => (realText(a) < realText(b) ? -1 : 1));
}

/**
 * The result of a command for one real server:
 * - `set`: the state was changed.
 * - `as-before`: it already had that state.
 * - `forgotten`: it is no longer in the fleet, and this host no longer remembers it.
 * - `fleet`: the fleet's table takes it out of use, and a host cannot bring it back.
 */
export interface HoldOutcome {
	readonly kind: "set" | "as-before" | "forgotten" | "fleet";
	readonly real: RealName;
	/** Since when it has been held on this host; undefined: it is not. */
	readonly since?: string;
	/** Its state in the fleet's table. */
	readonly state?: RealState;
}

export function holdOutcome(
	real: RealName,
	{ pools }: Fleet,
	{ before, after }: { readonly before: readonly HeldReal[]; readonly after: readonly HeldReal[] },
): HoldOutcome {
	const [old, now] = [before, after].map((held) => held.find((one) => sameReal(one, real)));
	if (now !== undefined) return { kind: old === now ? "as-before" : "set", real, since: now.since };
	const inFleet = pools.find(({ name }) => name === real.pool)?.reals.find(({ name }) => name === real.real);
	if (inFleet === undefined) return { kind: "forgotten", real };
	if (inFleet.state !== "enabled") return { kind: "fleet", real, state: inFleet.state };
	return { kind: old === undefined ? "as-before" : "set", real };
}
