/** Whether real servers answer from their VIPs: `l3dsr probe --json`. */
import * as z from "zod/mini";
import { address, described, dscp, flag, list, number, port, record, schema, text, whole } from "./value.ts";

export const probe = record({
	schema: schema("probe"),
	probed: whole(),
	failed: whole(),
	unanswered: described(whole(), "Targets whose probing was not finished when the command was stopped."),
	targets: list(
		record({
			real: address(),
			vip: z.optional(address()),
			dscp: dscp(),
			tos: described(whole(), "The byte that carries the DSCP."),
			protocol: z.enum(["tcp", "udp", "icmp"]),
			port: z.optional(port()),
			ok: described(flag(), "Every answer came from the VIP, and every requested connection continued."),
			connected: described(
				flag(),
				"The VIP answered, and a whole connection was requested (--connect), not only the answer to its first packet.",
			),
			outcome: z.enum([
				"vip",
				"real-address",
				"other-address",
				"refused",
				"unreachable",
				"silence",
				"unsent",
				"vip-without-ecn",
				"handshake-ignored",
				"connection-reset",
				"request-unanswered",
			]),
			answeredBy: z.optional(address()),
			asked: whole(),
			answered: described(whole(), "Answers from the VIP; for connections, those that continued."),
			time: z.optional(record({ minMs: number(), avgMs: number(), maxMs: number() })),
			found: list(text()),
			causes: list(text()),
			next: list(text()),
		}),
	),
});
