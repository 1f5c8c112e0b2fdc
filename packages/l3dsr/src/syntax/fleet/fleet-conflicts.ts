/** Conflicts within one fleet, reported with both positions. Pure. */
import type { Address, Family } from "@l3dsr/packet";
import type { Diagnostic, Position } from "../../errors.ts";
import {
	type Fleet,
	type FleetService,
	type FleetVip,
	MOST_ENTRIES,
	MOST_REALS,
	MOST_SERVICES,
	type Pool,
} from "../../model/fleet.ts";
import { sortDiagnostics } from "../config/document.ts";
import { didYouMean } from "../suggest.ts";

type Path = readonly (string | number)[];
/** The position of the value at a path of the file. */
export type PlaceOf = (path: Path) => Position;

/** Every conflict of the fleet, in the order of the file, which must have no other faults. */
export function fleetConflicts(fleet: Fleet, place: PlaceOf): Diagnostic[] {
	return sortDiagnostics([
		...duplicates(
			fleet.vips.map(({ name }, index) => ({ key: name, path: ["vips", index, "name"] })),
			(name) => `two VIPs are named ${name}`,
			place,
		),
		...duplicates(vipAddresses(fleet), (text) => `${text} is an address of two VIPs`, place),
		...fleet.pools.flatMap((pool) => poolConflicts(pool, place)),
		...fleet.vips.flatMap((vip, index) => vipConflicts(vip, index, fleet, place)),
		...realsThatAreVips(fleet, place),
		...codeConflicts(fleet, place),
		...tooMuch(fleet, place),
	]);
}

/** More than a director's tables can hold. */
function tooMuch({ vips, pools }: Fleet, place: PlaceOf): Diagnostic[] {
	const tooManyReals = pools
		.filter(({ reals }) => reals.length > MOST_REALS)
		.map(({ name, reals }): Diagnostic => {
			const message = `pool ${name} has ${reals.length} real servers, the limit is ${MOST_REALS}`;
			const hint = "split the pool, and give each part a VIP";
			return { code: "CONFIG_BAD_VALUE", message, position: place(["pools", name, "reals"]), hint };
		});
	const sizes = new Map(pools.map(({ name, reals }) => [name, reals.length]));
	let services = 0;
	let entries = 0;
	for (const vip of vips) {
		for (const { protocols, pool } of vip.services) {
			const own = vip.addresses.length * protocols.length;
			services += own;
			entries += own * (sizes.get(pool) ?? 0);
		}
	}
	const limits = [
		[services, MOST_SERVICES, "services (one for each address, protocol and port)"],
		[entries, MOST_ENTRIES, "real servers, each counted once per service"],
	] as const;
	const hint = "use port: any for all ports; or split the fleet and its directors";
	const position = place(["vips"]);
	return [
		...tooManyReals,
		...limits
			.filter(([count, most]) => count > most)
			.map(([count, most, what]): Diagnostic => {
				const message = `the fleet has ${count} ${what}, and a director holds at most ${most}`;
				return { code: "CONFIG_BAD_VALUE", message, position, hint };
			}),
	];
}

interface Placed {
	readonly key: string;
	readonly path: Path;
}

function vipAddresses({ vips }: Fleet): Placed[] {
	return vips.flatMap(({ addresses }, index) =>
		addresses.map(({ text }, at) => ({ key: text, path: ["vips", index, "addresses", at] })),
	);
}

/** A diagnostic for each entry with the same key as an earlier one. */
function duplicates(
	entries: readonly Placed[],
	message: (key: string) => string,
	place: PlaceOf,
): Diagnostic[] {
	const first = new Map<string, Path>();
	return entries.flatMap(({ key, path }): Diagnostic[] => {
		const earlier = first.get(key);
		if (earlier === undefined) {
			first.set(key, path);
			return [];
		}
		return [conflict("MODEL_DUPLICATE", message(key), place(path), place(earlier))];
	});
}

function conflict(
	code: "MODEL_DUPLICATE" | "MODEL_DSCP_CONFLICT",
	message: string,
	position: Position,
	{ source, line, column }: Position,
): Diagnostic {
	return { code, message, position, notes: [`the other one is at ${source}:${line}:${column}`] };
}

function poolConflicts({ name, reals }: Pool, place: PlaceOf): Diagnostic[] {
	const at = (index: number): Path => ["pools", name, "reals", index];
	const names = reals.map((real, index) => ({ key: real.name, path: [...at(index), "name"] }));
	const addresses = reals.flatMap((real, index) =>
		real.addresses.map(({ text }, n) => ({ key: text, path: [...at(index), "addresses", n] })),
	);
	return [
		...duplicates(names, (real) => `two real servers of pool ${name} are named ${real}`, place),
		...duplicates(addresses, (text) => `${text} is in pool ${name} twice`, place),
	];
}

function vipConflicts(vip: FleetVip, index: number, { pools }: Fleet, place: PlaceOf): Diagnostic[] {
	const at = (service: number): Path => ["vips", index, "services", service];
	const keys = vip.services.flatMap(({ port, protocols }, n) =>
		protocols.map((protocol) => ({ key: `port ${port} of ${protocol}`, path: [...at(n), "port"] })),
	);
	return [
		...duplicates(keys, (key) => `VIP ${vip.name} has two services for ${key}`, place),
		...vip.services.flatMap((service, n) => {
			const pool = pools.find(({ name }) => name === service.pool);
			if (pool === undefined) return [unknownPool(service, pools, place([...at(n), "pool"]))];
			return [
				...missingFamilies(vip, pool, place([...at(n), "pool"])),
				...portToCheck(vip, service, pool, place(["pools", pool.name, "check"])),
			];
		}),
	];
}

function unknownPool({ pool }: FleetService, pools: readonly Pool[], position: Position): Diagnostic {
	const names = pools.map(({ name }) => name);
	const known =
		names.length === 0 ? "add it under pools: in this file" : `pools here are ${names.join(", ")}`;
	const hint = didYouMean(pool, names) ?? known;
	return { code: "CONFIG_BAD_VALUE", message: `there is no pool ${pool}`, position, hint };
}

/**
 * A director cannot turn IPv4 into IPv6, so each family of the VIP needs a real server of that family. An empty pool
 * is allowed.
 */
function missingFamilies(vip: FleetVip, pool: Pool, position: Position): Diagnostic[] {
	if (pool.reals.length === 0) return [];
	return familiesOf(vip.addresses)
		.filter((family) => !pool.reals.some(({ addresses }) => familiesOf(addresses).includes(family)))
		.map((family) => ({
			code: "CONFIG_BAD_VALUE",
			message: `VIP ${vip.name} has an ${nameOf(family)} address, but no real server of pool ${pool.name} has one`,
			position,
			hint: `give the real servers ${nameOf(family)} addresses, or remove the VIP's`,
		}));
}

/** A service for every port does not say which port to check. */
function portToCheck(
	vip: FleetVip,
	{ port }: FleetService,
	{ name, check }: Pool,
	position: Position,
): Diagnostic[] {
	if (port !== "any" || check === undefined || check.type === "icmp" || check.type === "exec") return [];
	if (check.port !== undefined) return [];
	return [
		{
			code: "CONFIG_MISSING",
			message: `the check of pool ${name} needs a port: VIP ${vip.name} uses the pool for port any`,
			position,
			hint: "name a port on which a healthy real server answers, such as `port: 80`",
		},
	];
}

function familiesOf(addresses: readonly Address[]): Family[] {
	return [...new Set(addresses.map(({ family }) => family))];
}

function nameOf(family: Family): string {
	return family === "ipv4" ? "IPv4" : "IPv6";
}

function realsThatAreVips(fleet: Fleet, place: PlaceOf): Diagnostic[] {
	const vips = new Map(vipAddresses(fleet).map(({ key, path }) => [key, path]));
	return fleet.pools.flatMap(({ name, reals }) =>
		reals.flatMap((real, index) =>
			real.addresses.flatMap(({ text }, n): Diagnostic[] => {
				const vip = vips.get(text);
				if (vip === undefined) return [];
				const position = place(["pools", name, "reals", index, "addresses", n]);
				const message = `${text} is a VIP, and an address of real server ${real.name}`;
				return [conflict("MODEL_DUPLICATE", message, position, place(vip))];
			}),
		),
	);
}

/** Two VIPs with the same code on one real server, which could separate their packets only by protocol and port. */
function codeConflicts(fleet: Fleet, place: PlaceOf): Diagnostic[] {
	const reals = new Map(fleet.pools.map((pool) => [pool.name, addressesByFamily(pool)]));
	const taken = new Map<string, Map<FleetService["port"], number>>();
	const found: Diagnostic[] = [];
	for (const [index, vip] of fleet.vips.entries()) {
		const earlier = firstInTheWay(vip, index, reals, taken);
		if (earlier === undefined) continue;
		const name = fleet.vips[earlier.index]?.name;
		const message = `DSCP ${earlier.code} already stands for VIP ${name} on real server ${earlier.real}`;
		const [position, other] = [place(["vips", index, "dscp"]), place(["vips", earlier.index, "dscp"])];
		found.push(conflict("MODEL_DSCP_CONFLICT", message, position, other));
	}
	return found;
}

interface InTheWay {
	/** Index of the earlier VIP. */
	readonly index: number;
	readonly code: number;
	readonly real: string;
}

/**
 * Adds what the VIP takes to `taken`, by family, code, real server and protocol, and returns the first entry of
 * another VIP that takes the same. Looks at each real server once per service, because a fleet has many.
 */
function firstInTheWay(
	vip: FleetVip,
	index: number,
	reals: ReadonlyMap<string, ReadonlyMap<Family, readonly string[]>>,
	taken: Map<string, Map<FleetService["port"], number>>,
): InTheWay | undefined {
	let first: InTheWay | undefined;
	for (const { port, protocols, pool } of vip.services) {
		for (const family of familiesOf(vip.addresses)) {
			const code = vip.dscp[family];
			for (const real of code === undefined ? [] : (reals.get(pool)?.get(family) ?? [])) {
				for (const protocol of protocols) {
					const key = `${family} ${code} ${real} ${protocol}`;
					const ports = taken.get(key) ?? new Map<FleetService["port"], number>();
					taken.set(key, ports);
					const others = port === "any" ? [...ports.values()] : [ports.get(port), ports.get("any")];
					const other = others.find((one) => one !== undefined && one !== index);
					if (other !== undefined && code !== undefined) first ??= { index: other, code, real };
					if (!ports.has(port)) ports.set(port, index);
				}
			}
		}
	}
	return first;
}

function addressesByFamily({ reals }: Pool): ReadonlyMap<Family, readonly string[]> {
	const addresses = reals.flatMap((real) => real.addresses);
	const of = (family: Family) => addresses.filter((one) => one.family === family).map(({ text }) => text);
	return new Map([
		["ipv4", of("ipv4")],
		["ipv6", of("ipv6")],
	]);
}
