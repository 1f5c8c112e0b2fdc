/**
 * The health of a fleet's real servers as the tables hold it, for processes without checks and for checks that begin.
 * Pure.
 */
import type { HealthOf } from "../../model/director.ts";
import type { Fleet, RealHealth } from "../../model/fleet.ts";
import { keyText } from "../service.ts";
import type { CurrentService, NumberedReal } from "./state.ts";

/**
 * If health checks run, a real server that is new in a running service, or enabled again there, is starting. In a
 * service without any known health every real server is healthy, so that a director that starts can direct at once.
 * Without health checks every new real server is healthy.
 */
export function healthInTables(
	fleet: Fleet,
	current: readonly CurrentService[],
	{ checked }: { readonly checked: boolean },
): HealthOf {
	const services = new Map(
		current.map((service) => [
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

/** A real that was disabled is neither up nor failing: nothing is known about it. */
function healthOf(real: NumberedReal | undefined): RealHealth {
	if (real === undefined) return "starting";
	const { health, up } = real.entry;
	return health === "healthy" && !up ? "starting" : health;
}
