/**
 * The health of a fleet's real servers as the tables have it: for whoever runs no checks, and for checks that begin. Pure.
 */
import type { HealthOf } from "../../model/director.ts";
import type { Fleet, RealHealth } from "../../model/fleet.ts";
import { keyText } from "../service.ts";
import type { NumberedReal, StandingService } from "./state.ts";

/**
 * Where somebody checks, a real that comes to a service that directs already is starting: new in it, or enabled again.
 * In a service of which nothing is known everybody is healthy: a director that starts directs at once. Where nobody
 * checks, nobody waits for a check.
 */
export function healthInTables(
	fleet: Fleet,
	standing: readonly StandingService[],
	{ checked }: { readonly checked: boolean },
): HealthOf {
	const services = new Map(
		standing.map((service) => [
			keyText(service),
			new Map(service.reals.map((one) => [one.entry.address.text, one])),
		]),
	);
	const pools = new Map(
		fleet.pools.map((pool) => [
			pool.name,
			{ ...pool, byName: new Map(pool.reals.map((real) => [real.name, real])) },
		]),
	);
	return (service, name, realName) => {
		const pool = pools.get(name);
		const real = pool?.byName.get(realName);
		if (pool?.check === undefined || real === undefined || real.state === "disabled") return "healthy";
		const reals = services.get(keyText(service));
		const own = real.addresses.find(({ family }) => family === service.address.family);
		if (reals === undefined || own === undefined) return "healthy";
		const health = healthOf(reals.get(own.text));
		if (health !== "starting") return health;
		const isKnown = pool.reals.some(({ addresses }) =>
			addresses.some(({ text }) => healthOf(reals.get(text)) !== "starting"),
		);
		return checked && isKnown ? "starting" : "healthy";
	};
}

/** One that was disabled is neither up nor said to fail: nothing is known of it any more. */
function healthOf(real: NumberedReal | undefined): RealHealth {
	if (real === undefined) return "starting";
	const { health, up } = real.entry;
	return health === "healthy" && !up ? "starting" : health;
}
