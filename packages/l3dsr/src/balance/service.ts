/**
 * A fleet as the director's tables hold it: one service for each address, protocol and port, with the reals of its
 * family. Pure.
 */
import { type Address, type Dscp, PROTOCOL_NUMBER } from "@l3dsr/packet";
import type { HealthOf } from "../model/director.ts";
import {
	type Affinity,
	BALANCED_PROTOCOLS,
	type BalancedProtocol,
	type EchoMode,
	type Fleet,
	type FleetVip,
	type Pool,
	type RealHealth,
	usePool,
} from "../model/fleet.ts";
import { hashBytes } from "./hash.ts";

/** Identifies a service in a packet, and in tables that another process wrote. */
export interface ServiceKey {
	readonly address: Address;
	/** IP protocol number: 6 or 17. */
	readonly protocol: number;
	/** 0: every port without another service of this address and protocol. */
	readonly port: number;
}

export interface BalancedReal {
	readonly name: string;
	readonly address: Address;
	readonly weight: number;
	/** True if it takes new flows. */
	readonly serves: boolean;
	/** True if it keeps its current flows. */
	readonly carries: boolean;
	readonly health: RealHealth;
}

export interface BalancedService extends ServiceKey {
	/** Names in the fleet, for people. */
	readonly vip: string;
	readonly pool: string;
	readonly dscp: Dscp;
	readonly affinity: Affinity;
	readonly drainMs: number;
	/** All configured reals, whether they serve or not: the ring is computed over all of them. */
	readonly reals: readonly BalancedReal[];
}

export interface BalancedAddress {
	readonly address: Address;
	readonly echo: EchoMode;
}

/** Everything that a director should balance. */
export interface BalanceWish {
	/** All VIPs, including those without a service. */
	readonly addresses: readonly BalancedAddress[];
	readonly services: readonly BalancedService[];
}

/** The default without checks. */
const ALL_HEALTHY: HealthOf = () => "healthy";

/**
 * Throws RangeError if the fleet names a pool that it does not have; the syntax layer refuses such a fleet. `before`: an
 * earlier result, whose reals are used again where they are the same: with a thousand of them, new ones at each event
 * would cause pauses for garbage collection.
 */
export function lowerFleet(
	fleet: Fleet,
	healthOf: HealthOf = ALL_HEALTHY,
	before?: Pick<BalanceWish, "services">,
): BalanceWish {
	const pools = new Map(fleet.pools.map((pool) => [pool.name, pool]));
	const addresses = fleet.vips.flatMap(({ addresses, echo }) =>
		addresses.map((address) => ({ address, echo })),
	);
	let number = 0;
	const services = fleet.vips.flatMap((vip) =>
		vip.addresses.flatMap((address) =>
			vip.services.flatMap(({ port, protocols, pool: name, affinity }) => {
				const pool = pools.get(name);
				if (pool === undefined)
					throw new RangeError(`VIP ${vip.name} names a pool ${name} that is not there`);
				return BALANCED_PROTOCOLS.filter((one) => protocols.includes(one)).map((protocol) => {
					const own = { address, protocol, port: port === "any" ? 0 : port, affinity };
					return lowerService(vip, pool, own, healthOf, before?.services[number++]?.reals ?? []);
				});
			}),
		),
	);
	return { addresses, services };
}

function lowerService(
	vip: FleetVip,
	pool: Pool,
	{
		address,
		protocol,
		port,
		affinity,
	}: { address: Address; protocol: BalancedProtocol; port: number; affinity: Affinity },
	healthOf: HealthOf,
	before: readonly BalancedReal[],
): BalancedService {
	const dscp = vip.dscp[address.family];
	if (dscp === undefined) throw new RangeError(`VIP ${vip.name} has no DSCP for ${address.family}`);
	const key: ServiceKey = { address, protocol: PROTOCOL_NUMBER[protocol], port };
	const healths = pool.reals.map(({ name }) => healthOf(key, pool.name, name));
	const { serves, carries } = usePool(pool, healths);
	const isOfFamily = ({ family }: Address) => family === address.family;
	const reals: BalancedReal[] = [];
	pool.reals.forEach((real, n) => {
		const own = real.addresses.find(isOfFamily);
		if (own === undefined) return;
		const { name, weight } = real;
		const isServing = serves[n] === true;
		const isCarrying = carries[n] === true;
		const health = healths[n] ?? "healthy";
		const was = before[reals.length];
		const isSame =
			was !== undefined &&
			was.address === own &&
			was.name === name &&
			was.weight === weight &&
			was.serves === isServing &&
			was.carries === isCarrying &&
			was.health === health;
		reals.push(isSame ? was : { name, address: own, weight, serves: isServing, carries: isCarrying, health });
	});
	return { ...key, vip: vip.name, pool: pool.name, dscp, affinity, drainMs: pool.drainMs, reals };
}

/** The start of a service's hashes, the same on every director. */
export function seedOf({ address, protocol, port }: ServiceKey): bigint {
	return hashBytes([...address.bytes, port >> 8, port & 255, protocol]);
}

/** The tables hold no other protocols. */
export function protocolName(number: number): BalancedProtocol {
	return BALANCED_PROTOCOLS.find((one) => PROTOCOL_NUMBER[one] === number) ?? "tcp";
}

/** Text key of a service for maps: `192.0.2.10 6 443`. */
export function keyText({ address, protocol, port }: ServiceKey): string {
	return `${address.text} ${protocol} ${port}`;
}

/** The codes of each real server's address, which packets from outside must not carry. */
export function codesByReal({
	services,
}: BalanceWish): ReadonlyMap<string, { address: Address; codes: bigint }> {
	const found = new Map<string, { address: Address; codes: bigint }>();
	for (const { dscp, reals } of services) {
		for (const { address } of reals) {
			const codes = found.get(address.text)?.codes ?? 0n;
			found.set(address.text, { address, codes: codes | (1n << BigInt(dscp)) });
		}
	}
	return found;
}

/** True if two wishes differ at most in which reals serve and carry, so that only slots and marks have to change. */
export function sameShape(a: BalanceWish, b: BalanceWish): boolean {
	return (
		a.addresses.length === b.addresses.length &&
		a.services.length === b.services.length &&
		a.addresses.every((one, n) => {
			const other = b.addresses[n];
			return one.echo === other?.echo && one.address.text === other.address.text;
		}) &&
		a.services.every((one, n) => sameServiceShape(one, b.services[n]))
	);
}

function sameServiceShape(a: BalancedService, b: BalancedService | undefined): boolean {
	return (
		b !== undefined &&
		keyText(a) === keyText(b) &&
		a.dscp === b.dscp &&
		a.affinity === b.affinity &&
		a.drainMs === b.drainMs &&
		a.reals.length === b.reals.length &&
		a.reals.every(({ address, weight }, n) => {
			const other = b.reals[n];
			return weight === other?.weight && address.text === other.address.text;
		})
	);
}
