/** Checks which real servers of each pool are left, given the fleet's table and the operator's overrides. */
import type { CheckFinding } from "../../host/checks/check.ts";
import { type Pool, usePool } from "../../model/fleet.ts";
import { realText } from "../../model/held-real.ts";
import type { DirectorCheck } from "./input.ts";

export const checkPools: DirectorCheck = ({ fleet }) =>
	fleet.vips.flatMap((vip) =>
		vip.services.flatMap(({ pool: name, port, protocols }) => {
			const pool = fleet.pools.find((one) => one.name === name);
			if (pool === undefined) return [];
			return vip.addresses.flatMap(({ family, text }): CheckFinding[] => {
				const serving = servingOf(pool, family);
				if (serving.length > 1) return [];
				const service = `${vip.name} ${text} ${protocols.join(",")}/${port}`;
				const remedy = `add real servers to pool ${pool.name}, or l3dsr enable those that are out of use`;
				if (serving.length === 0) {
					const message = `no real server takes new flows of ${service}: pool ${pool.name} has none that is enabled and has a weight`;
					return [{ check: "pool", severity: "error", message, remedy }];
				}
				const message = `${serving[0]} alone takes the flows of ${service}: if it fails, no real server is left`;
				return [{ check: "pool", severity: "note", message, remedy }];
			});
		}),
	);

function servingOf(pool: Pool, family: "ipv4" | "ipv6"): string[] {
	const { serves } = usePool(pool, []);
	return pool.reals
		.filter(({ addresses }, n) => serves[n] === true && addresses.some((one) => one.family === family))
		.map(({ name }) => realText({ pool: pool.name, real: name }));
}

export const checkHeld: DirectorCheck = ({ fleet, held }) =>
	held
		.filter(
			(one) =>
				!fleet.pools.some(
					({ name, reals }) => name === one.pool && reals.some((real) => real.name === one.real),
				),
		)
		.map((one) => ({
			check: "held",
			severity: "warning",
			message: `${realText(one)} is ${one.state === "drain" ? "drained" : "disabled"} on this host, but is not in the fleet: a new real server with that name would start out of use`,
			remedy: `l3dsr enable ${realText(one)} removes this state`,
		}));
