/** Changes the director of its namespace in an endless loop: under-load.test.ts runs and kills it. */
import { portOf } from "@l3dsr/packet";
import { Director } from "../../src/balance/kernel/director.ts";
import { real, SETTINGS, wishOf } from "./wire.ts";

using director = Director.open();
process.send?.("open");
for (let turn = 0; ; turn++) {
	// Changes in place, and a replacement with another VIP table, in turn.
	const all = [1, 2, 3, 4].map((n) => real(n, { weight: 1 + ((turn + n) % 3) }));
	const more = Array.from({ length: turn % 7 }, (_, n) => real(30 + n));
	const ports = turn % 3 === 0 ? [80, 443] : [80];
	const services = ports.map(
		(port) => ({ port: portOf(port), protocols: ["tcp", "udp"], pool: "front", affinity: "flow" }) as const,
	);
	director.apply(wishOf([...all, ...more], { services }), SETTINGS);
}
