/** Real servers that the operator of one director has taken out of use there, whatever the fleet says. Pure. */
import type { Fleet, RealState } from "./fleet.ts";

/** By name: the fleet may lose it and get it back. */
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
 * The fleet with the states that hold on this host: of the fleet's and the operator's, the one that lets less through. So
 * what is taken out of use in the fleet's table is never brought back by a host that has something of its own.
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

export function sameReal(a: RealName, b: RealName): boolean {
	return a.pool === b.pool && a.real === b.real;
}

export function realText({ pool, real }: RealName): string {
	return `${pool}/${real}`;
}

/**
 * The real servers that an operator means by a word: `POOL/NAME`, the name in every pool, or an address. Those that are
 * held and no longer in the fleet can be named too, so that they can be forgotten.
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

/** The held ones after `reals` have been given `state`. One that is held so already keeps its time. */
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
 * What a command makes of one real server:
 * - `set`: it is so from now on.
 * - `as-before`: it was so already.
 * - `forgotten`: the fleet has lost it, and this host remembers it no longer.
 * - `fleet`: the fleet's table takes it out of use, and a host cannot bring it back.
 */
export interface HoldOutcome {
	readonly kind: "set" | "as-before" | "forgotten" | "fleet";
	readonly real: RealName;
	/** Since when it is held on this host; undefined: it is not. */
	readonly since?: string;
	/** What the fleet's table says. */
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
