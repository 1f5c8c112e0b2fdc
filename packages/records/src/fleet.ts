/** The fleet's table: `GET /v1/fleet`. */
import * as z from "zod/mini";
import {
	address,
	described,
	dscp,
	list,
	number,
	port,
	protocol,
	record,
	schema,
	text,
	whole,
} from "./value.ts";

const vip = record({
	name: text(),
	addresses: list(address()),
	dscp: record({ ipv4: z.optional(dscp()), ipv6: z.optional(dscp()) }),
	services: list(
		record({
			port: z.union([port(), z.literal("any")]),
			protocols: list(protocol()),
			pool: text(),
			affinity: z.enum(["flow", "source"]),
		}),
	),
	echo: described(z.enum(["kernel", "reply", "server"]), "Who answers a ping of the VIP."),
});

const pool = record({
	name: text(),
	reals: list(
		record({
			name: text(),
			addresses: list(address()),
			weight: whole(),
			state: z.enum(["enabled", "drain", "disabled"]),
		}),
	),
	check: described(
		z.nullable(
			record({
				type: z.enum(["tcp", "http", "https", "udp", "icmp", "exec"]),
				port: z.optional(port()),
				path: z.optional(text()),
				intervalMs: number(),
				timeoutMs: number(),
				fall: whole(),
				rise: whole(),
			}),
		),
		"null: every enabled real server counts as healthy.",
	),
	drainSeconds: number(),
	floor: described(number(), "If the share of healthy real servers is below this, 0-1, all are used."),
});

export const fleet = record({
	schema: schema("fleet"),
	source: described(z.nullable(text()), "Name of the file; null if this host has no fleet."),
	vips: list(vip),
	pools: list(pool),
});
