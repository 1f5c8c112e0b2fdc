/**
 * The fleet: VIPs, their services, and the pools of real servers behind them. One table that every director and every
 * real server of a fleet reads alike.
 *
 * Plain values: `syntax` reads them from fleet.yaml, `balance` makes the director's tables of them, and a real server
 * derives its own services.
 */
import type { Address, Dscp, Family, Port } from "@l3dsr/packet";

export const BALANCED_PROTOCOLS = ["tcp", "udp"] as const;
/** What a director balances: it needs the ports, and a checksum that it knows how to update. */
export type BalancedProtocol = (typeof BALANCED_PROTOCOLS)[number];

export const AFFINITIES = ["flow", "source"] as const;
/** What stays with one real server: a flow (addresses and ports), or all that comes from one client address. */
export type Affinity = (typeof AFFINITIES)[number];

export const ECHO_MODES = ["kernel", "reply", "server"] as const;
/**
 * Who answers a ping of the VIP: this host's kernel (if the VIP is its own), the director's program, or one of the
 * real servers.
 */
export type EchoMode = (typeof ECHO_MODES)[number];

export const REAL_STATES = ["enabled", "drain", "disabled"] as const;
/**
 * `enabled`: takes flows while it is healthy. `drain`: keeps the flows that it has and takes no new ones. `disabled`:
 * takes nothing at all from now on.
 */
export type RealState = (typeof REAL_STATES)[number];

export interface FleetService {
	/** 1–65535; `any`: every port that no other service of the VIP has. */
	readonly port: Port | "any";
	/** At least one, each once. */
	readonly protocols: readonly BalancedProtocol[];
	/** Name of a pool of the same fleet. */
	readonly pool: string;
	readonly affinity: Affinity;
}

export interface FleetVip {
	/** Unique in its fleet. */
	readonly name: string;
	/** At least one, each of them nobody else's in the fleet. */
	readonly addresses: readonly Address[];
	/** The code by which real servers know the VIP, for each family that it has an address of; 1–63. */
	readonly dscp: Readonly<Partial<Record<Family, Dscp>>>;
	readonly services: readonly FleetService[];
	readonly echo: EchoMode;
}

export interface Real {
	/** Unique in its pool. */
	readonly name: string;
	/** At most one of each family: a service of a family uses the reals that have an address of it. */
	readonly addresses: readonly Address[];
	/** 0–1000, relative to the others of the pool; 0 takes no new flows. */
	readonly weight: number;
	readonly state: RealState;
}

export const CHECK_TYPES = ["tcp", "http", "https", "udp", "icmp", "exec"] as const;
export type CheckType = (typeof CHECK_TYPES)[number];

/** Whether a check of this type makes a connection, by the path that the VIP's packets take. */
export function connects(type: CheckType): boolean {
	return type === "tcp" || type === "http" || type === "https";
}

/** When a check is run and how its results count. */
export interface CheckTiming {
	readonly intervalMs: number;
	/** At most `intervalMs`. */
	readonly timeoutMs: number;
	/** Failures in a row after which a real is down, at least 1. */
	readonly fall: number;
	/** Successes in a row after which it is up again, at least 1. */
	readonly rise: number;
}

/** What is asked of a real server through the VIP's path. */
export type CheckQuestion =
	| { readonly type: "tcp"; readonly port?: Port }
	| {
			readonly type: "http" | "https";
			readonly port?: Port;
			readonly path: string;
			/** Status codes that are a success, at least one. */
			readonly expect: readonly number[];
			/** The Host header, and the name that a certificate must have; absent: the VIP's address. */
			readonly host?: string;
			/** Of https: whether the certificate must be valid for `host`. */
			readonly verify?: boolean;
	  }
	| {
			readonly type: "udp";
			readonly port?: Port;
			/** The datagram's payload. */
			readonly send: Uint8Array;
			/** How an answer must begin; absent: any answer is a success. */
			readonly expect?: Uint8Array;
	  }
	| { readonly type: "icmp" }
	/** Exit status 0 is a success. The program gets the VIP and the real server in its environment. */
	| { readonly type: "exec"; readonly command: readonly string[] };

/** A question without a port asks each service at its own. */
export type Check = CheckTiming & CheckQuestion;

export interface Pool {
	/** Unique in its fleet. */
	readonly name: string;
	/** An empty pool is allowed: its services take no packet. */
	readonly reals: readonly Real[];
	/** Absent: every enabled real counts as healthy. */
	readonly check?: Check;
	/** How long a slot that has changed remembers the flows of its previous real. */
	readonly drainMs: number;
	/** Fewer healthy reals than this share of the enabled ones (0–1), and all of them are used: the check is broken. */
	readonly floor: number;
}

export interface Fleet {
	readonly vips: readonly FleetVip[];
	readonly pools: readonly Pool[];
}

/** What a pool has where the file says nothing. */
export const POOL_DEFAULTS = { weight: 1, drainMs: 15 * 60_000, floor: 0.5 } as const;
/** The largest weight: what a slot table of 65,537 places can tell apart for a hundred reals. */
export const MOST_WEIGHT = 1000;
/** What a pool can have: each of so many still gets 16 slots. */
export const MOST_REALS = 4096;
/**
 * Services of a director, one for each address, protocol and port: their rings are one memory, of which the verifier lets a
 * program address 512 MB (BPF_MAX_VAR_OFF), and which has room for half as many again.
 */
export const MOST_SERVICES = 2048;
/** Real servers, once for each service that they are in: their tables are numbered with 20 bits, and leave room. */
export const MOST_ENTRIES = 200_000;
/** The longest drain: the memory of flows counts its ages in 16 bits of about a second. */
export const MOST_DRAIN_MS = 12 * 3600_000;

/**
 * What its check says of a real. `starting`: it is new, and no check has succeeded yet. Without a check, or where nobody
 * checks, it is healthy.
 */
export type RealHealth = "healthy" | "failing" | "starting";

/** What the reals of a pool may get, in the order of the pool. */
export interface PoolUse {
	/** Takes new flows. */
	readonly serves: readonly boolean[];
	/** Keeps the flows that it has: those that serve, and those that drain and are healthy. None that is starting. */
	readonly carries: readonly boolean[];
	/** Fewer are healthy than the floor allows: the check counts as broken, and its results for nothing. */
	readonly belowFloor: boolean;
}

/** Who takes packets, with the health of each, in the order of the pool; of whom nothing is said is healthy. */
export function usePool(
	{ reals, floor }: Pick<Pool, "reals" | "floor">,
	healths: readonly RealHealth[],
): PoolUse {
	let [known, healthy] = [0, 0];
	reals.forEach(({ state }, n) => {
		// Nobody knows yet whether the check works with one that is new.
		if (state !== "enabled" || healths[n] === "starting") return;
		known++;
		if (healths[n] === "healthy") healthy++;
	});
	const belowFloor = healthy < floor * known;
	const usable: Readonly<Record<RealHealth, boolean>> = {
		healthy: true,
		failing: belowFloor,
		starting: known === 0,
	};
	const carries = reals.map(({ state }, n) => state !== "disabled" && usable[healths[n] ?? "healthy"]);
	const serves = reals.map(
		({ state, weight }, n) => carries[n] === true && state === "enabled" && weight > 0,
	);
	return { serves, carries, belowFloor };
}
