/** The current state of a director: `director` in the status. */
import * as z from "zod/mini";
import {
	address,
	counter,
	counters,
	described,
	dscp,
	flag,
	list,
	number,
	port,
	protocol,
	rate,
	record,
	text,
	time,
	whole,
} from "./value.ts";

const hop = described(
	record({
		state: z.enum(["resolved", "kernel", "unresolved", "unreachable"]),
		interface: z.optional(text()),
		mac: z.optional(described(text(), "Ethernet address of the next hop.")),
	}),
	"The path to the real server. resolved: the program writes the frames. kernel: the kernel routes them. unresolved: the next hop is not known yet. unreachable: there is no route.",
);

export const checkType = () => z.enum(["tcp", "http", "https", "udp", "icmp", "exec"]);

const check = record({
	type: checkType(),
	state: described(z.enum(["healthy", "unhealthy", "unknown"]), "unknown: no result yet."),
	since: z.optional(described(time(), "When it entered this state.")),
	failures: described(whole(), "Failures in a row."),
	reason: z.optional(described(text(), "Why the last check failed.")),
	durationMs: z.optional(described(number(), "How long the last check took.")),
});

export const real = record({
	name: described(text(), "As in the fleet's table; the address if it is no longer configured."),
	address: address(),
	configured: described(
		z.nullable(z.enum(["enabled", "drain", "disabled"])),
		"As in the fleet's table; null if it is no longer configured.",
	),
	state: described(
		z.enum(["up", "down", "drain", "disabled", "starting", "leaving"]),
		"up: takes new flows. down: its check fails. drain: keeps its existing flows. disabled: takes nothing. starting: new, and no check has succeeded yet. leaving: no longer configured, keeps its flows until the drain is over.",
	),
	reason: z.optional(described(text(), "Why it does not take new flows.")),
	weight: described(whole(), "Relative to the others of the pool."),
	slots: described(whole(), "Slots of the service's ring, of 65,537."),
	share: described(number(), "Its share of new flows, 0-1."),
	hop,
	...counters,
	rate: z.optional(z.nullable(rate)),
	check: z.optional(described(check, "The result of the agent's check; absent if no agent checks.")),
});

export const directedService = record({
	name: described(text(), "Name of the VIP in the fleet's table."),
	vip: address(),
	protocol: protocol(),
	port: described(
		z.union([port(), z.literal("any")]),
		"any: every port that no other service of the VIP has.",
	),
	dscp: dscp(),
	pool: text(),
	affinity: z.enum(["flow", "source"]),
	state: described(
		z.enum(["up", "floor", "down"]),
		"up: enough real servers take new flows. floor: so few are healthy that all are used. down: none takes new flows.",
	),
	transition: described(
		z.nullable(record({ slots: whole(), seconds: whole() })),
		"Slots that remember the flows of their previous real server, and since how many seconds.",
	),
	...counters,
	rate: z.optional(z.nullable(rate)),
	reals: list(real),
});

export const director = record({
	programs: described(
		list(record({ interface: text(), hook: text(), id: whole() })),
		"The director's programs, by interface. id: as shown by bpftool.",
	),
	forward: z.enum(["resolved", "kernel"]),
	flows: z.enum(["transition", "always", "none"]),
	services: list(directedService),
	reasons: described(
		list(
			record({
				reason: text(),
				outcome: z.enum(["pass", "drop", "answer"]),
				meaning: text(),
				packets: counter(),
			}),
		),
		"Why packets were not forwarded.",
	),
	announcements: z.optional(
		described(
			list(record({ vip: address(), announced: flag(), reason: z.optional(text()) })),
			"Whether each VIP is announced to routers, and why not.",
		),
	),
});
