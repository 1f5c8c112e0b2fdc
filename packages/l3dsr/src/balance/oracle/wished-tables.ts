/** The oracle's tables for a wish, as in a director that has just started. Pure. */
import { RingCache } from "../ring-cache.ts";
import { type BalancedService, type BalanceWish, codesByReal, seedOf } from "../service.ts";
import { FLOW_BITS_DEFAULT, FRAGMENT_BITS_DEFAULT } from "../tables/layout.ts";
import { emptyRings } from "../transition.ts";
import { FlowMemory, FragmentMemory } from "./memory.ts";
import type { Hop, OracleService, OracleTables } from "./oracle.ts";

/** A running director asks the kernel for the route to a real server; here no route restricts a packet. */
const ANY_WAY: Hop = { to: "kernel", mtu: 0xffff_ffff };

export function wishedTables(wish: BalanceWish, { bleach }: { readonly bleach: boolean }): OracleTables {
	const rings = new RingCache();
	const services = wish.services.map((service) => oracleService(service, rings));
	return {
		services,
		vips: wish.addresses.map(({ address, echo }) => {
			const first = services.find((one) => one.address.text === address.text);
			return { address, echo, ...(first === undefined ? {} : { first }) };
		}),
		codes: bleach ? [...codesByReal(wish).values()] : [],
		flows: new FlowMemory(FLOW_BITS_DEFAULT),
		fragments: new FragmentMemory(FRAGMENT_BITS_DEFAULT),
	};
}

function oracleService(service: BalancedService, cache: RingCache): OracleService {
	const { address, protocol, port, dscp, affinity, reals } = service;
	const rings = emptyRings();
	rings.now.set(
		cache.target(
			service,
			reals.map((_, index) => index),
		),
	);
	return {
		address,
		protocol,
		port,
		dscp,
		affinity,
		seed: seedOf(service),
		rings,
		reals: reals.map((real, number) => ({
			address: real.address,
			number,
			up: real.carries,
			hop: ANY_WAY,
		})),
		since: 0,
		changed: 0,
	};
}
