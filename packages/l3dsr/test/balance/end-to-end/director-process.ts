/**
 * A director process as on a real host: it takes over the running director, checks the real servers, and
 * updates the tables with every change of health. deaths.test.ts runs it in a namespace, with names and
 * addresses of the real servers as JSON.
 */
import { dscp, parseAddress, portOf } from "@l3dsr/packet";
import { HealthChecks } from "../../../src/balance/checks/health-checks.ts";
import { Director } from "../../../src/balance/kernel/director.ts";
import { lowerFleet } from "../../../src/balance/service.ts";
import type { Fleet } from "../../../src/model/fleet.ts";
import { CODE, VIP } from "../../vip-path/real-server.ts";
import { HTTP, SETTINGS } from "./world.ts";

const given: readonly { readonly name: string; readonly addresses: readonly string[] }[] = JSON.parse(
	process.argv[2] ?? "[]",
);
const fleet: Fleet = {
	vips: [
		{
			name: "web",
			addresses: [VIP.ipv4, VIP.ipv6],
			dscp: { ipv4: dscp(CODE), ipv6: dscp(CODE) },
			services: [{ port: portOf(HTTP), protocols: ["tcp"], pool: "front", affinity: "flow" }],
			echo: "kernel",
		},
	],
	pools: [
		{
			name: "front",
			reals: given.map(({ name, addresses }) => ({
				name,
				addresses: addresses.flatMap((text) => parseAddress(text) ?? []),
				weight: 1,
				state: "enabled",
			})),
			check: { type: "tcp", intervalMs: 100, timeoutMs: 80, fall: 3, rise: 2 },
			drainMs: 900_000,
			floor: 0,
		},
	],
};

const say = (record: object) => process.stdout.write(`${JSON.stringify(record)}\n`);

using director = Director.open();
const checks = new HealthChecks({
	onChange: ({ real, vip, state }) => {
		director.apply(lowerFleet(fleet, checks.healthOf), SETTINGS);
		// CLOCK_MONOTONIC, which is the same in all processes: from here on a dead one gets nothing new.
		say({
			real,
			family: vip.family,
			healthy: state === "healthy",
			at: Number(process.hrtime.bigint()) / 1e6,
		});
	},
});
checks.start(fleet, director.healthInTables(fleet));
director.apply(lowerFleet(fleet, checks.healthOf), SETTINGS);
say({ ready: true });
await new Promise(() => {});
