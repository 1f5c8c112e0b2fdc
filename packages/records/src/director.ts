/** What a director does at present: `director` in the status. */
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

export const hop = described(
	record({
		state: z.enum(["resolved", "kernel", "unresolved", "unreachable"]),
		interface: z.optional(text()),
		mac: z.optional(described(text(), "Ethernet address of the next hop.")),
	}),
	"The way to the real server. resolved: frames are written by the program. kernel: the kernel routes them. unresolved: the next hop is not known yet. unreachable: no route leads there.",
);

export const checkType = () => z.enum(["tcp", "http", "https", "udp", "icmp", "exec"]);

export const check = record({
	type: checkType(),
	state: described(z.enum(["healthy", "unhealthy", "unknown"]), "unknown: no result yet."),
	since: z.optional(described(time(), "When it came into this state.")),
	failures: described(whole(), "Failures in a row."),
	reason: z.optional(described(text(), "Why the last check failed.")),
	durationMs: z.optional(described(number(), "How long the last check took.")),
});

export const real = record({
	name: described(text(), "As in the fleet's table; the address where it is not configured any more."),
	address: address(),
	configured: described(
		z.nullable(z.enum(["enabled", "drain", "disabled"])),
		"As in the fleet's table; null where it is not configured any more.",
	),
	state: described(
		z.enum(["up", "down", "drain", "disabled", "starting", "leaving"]),
		"up: takes new flows. down: its check fails. drain: keeps the flows that it has. disabled: takes nothing. starting: new, and no check has succeeded yet. leaving: not configured any more, keeps its flows until the drain is over.",
	),
	reason: z.optional(described(text(), "Why it does not take new flows.")),
	weight: described(whole(), "Relative to the others of the pool."),
	slots: described(whole(), "Slots of the service's ring, of 65,537."),
	share: described(number(), "The share of new flows that it gets, 0-1."),
	hop,
	...counters,
	rate: z.optional(z.nullable(rate)),
	check: z.optional(described(check, "What the agent's check has found out; absent where no agent checks.")),
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
		"Slots that remember the flows of their previous real server, and for how long they have done so.",
	),
	...counters,
	rate: z.optional(z.nullable(rate)),
	reals: list(real),
});

export const director = record({
	programs: described(
		list(record({ interface: text(), hook: text(), id: whole() })),
		"Programs that direct, by interface. id: as bpftool shows it.",
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
			"VIPs that are announced to routers, or are not, and why.",
		),
	),
});
