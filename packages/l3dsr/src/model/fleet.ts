/**
 * The fleet: VIPs, their services, and the pools of real servers behind them. All directors and real servers of a
 * fleet read the same table.
 *
 * Plain values: `syntax` reads them from fleet.yaml, `balance` turns them into the director's tables, and a real
 * server derives its own services.
 */
import type { Address, Dscp, Family, Port } from "@l3dsr/packet";

export const BALANCED_PROTOCOLS = ["tcp", "udp"] as const;
/** What a director can balance: protocols with ports, and with a checksum that it can update. */
export type BalancedProtocol = (typeof BALANCED_PROTOCOLS)[number];

export const AFFINITIES = ["flow", "source"] as const;
/** What stays with one real server: a flow (addresses and ports), or everything from one client address. */
export type Affinity = (typeof AFFINITIES)[number];

export const ECHO_MODES = ["kernel", "reply", "server"] as const;
/**
 * What answers a ping to the VIP: this host's kernel (if it has the VIP), the director's program, or one of the real
 * servers.
 */
export type EchoMode = (typeof ECHO_MODES)[number];

export const REAL_STATES = ["enabled", "drain", "disabled"] as const;
/**
 * `enabled`: takes flows while healthy. `drain`: keeps its flows and takes no new ones. `disabled`: takes nothing
 * from now on.
 */
export type RealState = (typeof REAL_STATES)[number];

export interface FleetService {
	/** 1–65535; `any`: every port without another service of the VIP. */
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
	/** At least one; no two VIPs of the fleet may share an address. */
	readonly addresses: readonly Address[];
	/** The code by which real servers know the VIP, for each family of its addresses; 1–63. */
	readonly dscp: Readonly<Partial<Record<Family, Dscp>>>;
	readonly services: readonly FleetService[];
	readonly echo: EchoMode;
}

export interface Real {
	/** Unique in its pool. */
	readonly name: string;
	/** At most one of each family; a service uses the reals that have an address of its family. */
	readonly addresses: readonly Address[];
	/** 0–1000, relative to the others of the pool; 0 takes no new flows. */
	readonly weight: number;
	readonly state: RealState;
}

export const CHECK_TYPES = ["tcp", "http", "https", "udp", "icmp", "exec"] as const;
export type CheckType = (typeof CHECK_TYPES)[number];

/** True if a check of this type connects along the path of the VIP's packets. */
export function connects(type: CheckType): boolean {
	return type === "tcp" || type === "http" || type === "https";
}

/** When a check runs, and how its results count. */
export interface CheckTiming {
	readonly intervalMs: number;
	/** At most `intervalMs`. */
	readonly timeoutMs: number;
	/** Failures in a row until a real is down, at least 1. */
	readonly fall: number;
	/** Successes in a row until it is up again, at least 1. */
	readonly rise: number;
}

/** What to ask a real server along the VIP's path. */
export type CheckQuestion =
	| { readonly type: "tcp"; readonly port?: Port }
	| {
			readonly type: "http" | "https";
			readonly port?: Port;
			readonly path: string;
			/** Status codes that mean success, at least one. */
			readonly expect: readonly number[];
			/** The Host header, and the name that a certificate must have; default: the VIP's address. */
			readonly host?: string;
			/** https only: whether the certificate must be valid for `host`. */
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
	/** Exit status 0 means success. The program gets the VIP and the real server in its environment. */
	| { readonly type: "exec"; readonly command: readonly string[] };

/** A question without a port uses the port of each service. */
export type Check = CheckTiming & CheckQuestion;

export interface Pool {
	/** Unique in its fleet. */
	readonly name: string;
	/** May be empty; its services then take no packets. */
	readonly reals: readonly Real[];
	/** Absent: every enabled real counts as healthy. */
	readonly check?: Check;
	/** How long a changed slot remembers the flows of its previous real. */
	readonly drainMs: number;
	/**
	 * If the share of healthy reals among the enabled ones (0–1) is below this, the check is considered broken and all
	 * are used.
	 */
	readonly floor: number;
}

export interface Fleet {
	readonly vips: readonly FleetVip[];
	readonly pools: readonly Pool[];
}

/** The defaults of a pool. */
export const POOL_DEFAULTS = { weight: 1, drainMs: 15 * 60_000, floor: 0.5 } as const;
/** The largest weight: 65,537 slots can represent such differences among a hundred reals. */
export const MOST_WEIGHT = 1000;
/** The most reals in a pool; each still gets 16 slots. */
export const MOST_REALS = 4096;
/**
 * The most services of a director, one for each address, protocol and port. Their rings take 273 MB of one memory, of
 * which the verifier lets a program address 512 MB (BPF_MAX_VAR_OFF).
 */
export const MOST_SERVICES = 2048;
/** The most real servers, counted once for each service: their numbers have 20 bits, and need spare room. */
export const MOST_ENTRIES = 200_000;
/** The longest drain: the memory of flows counts ages in 16 bits, in units of about a second. */
export const MOST_DRAIN_MS = 12 * 3600_000;

/**
 * The result of a real's checks. `starting`: it is new, and no check has succeeded yet. Without checks it is healthy.
 */
export type RealHealth = "healthy" | "failing" | "starting";

/** What each real of a pool gets, in the order of the pool. */
export interface PoolUse {
	/** True if it takes new flows. */
	readonly serves: readonly boolean[];
	/**
	 * True if it keeps its flows: reals that serve, and healthy ones that drain. A starting real only does while no
	 * enabled real's health is known.
	 */
	readonly carries: readonly boolean[];
	/** Fewer reals are healthy than the floor allows, so the check counts as broken and its results are ignored. */
	readonly belowFloor: boolean;
}

/** Which reals take packets, given the health of each in the order of the pool; missing values mean healthy. */
export function usePool(
	{ reals, floor }: Pick<Pool, "reals" | "floor">,
	healths: readonly RealHealth[],
): PoolUse {
	let [known, healthy] = [0, 0];
	reals.forEach(({ state }, n) => {
		// A new real does not show yet whether the check works.
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
