/** What the agent itself does: `agent` in the status that it serves. */
import * as z from "zod/mini";
import { diagnostic } from "./diagnostic.ts";
import { described, list, number, record, text, time, whole } from "./value.ts";

/** What made the agent look at the host. */
export const triggers = () =>
	described(
		list(text()),
		"What made the agent look at the host: start, link, address, route, neighbour, ruleset, program, file, signal, command, lost, minute, retry.",
	);

export const agent = record({
	version: text(),
	process: described(whole(), "Its process id."),
	startedAt: time(),
	condition: described(
		z.enum(["starting", "right", "failing", "contended", "held"]),
		"starting: no run has ended. right: the last run left the host as its configuration says. failing: it could not. contended: something else changes it back again and again. held: l3dsr down was typed.",
	),
	configuration: record({
		source: text(),
		services: whole(),
		readAt: described(time(), "When the one in force was read."),
		refused: z.optional(described(list(diagnostic), "Why the file as it is now is not in force.")),
	}),
	lastRun: z.optional(
		record({
			time: time(),
			tookMs: number(),
			triggers: triggers(),
			outcome: z.enum(["settled", "changed", "failed"]),
		}),
	),
	rightAt: z.optional(
		described(time(), "When a run last made the host what its configuration asks, or found it so."),
	),
	failure: z.optional(described(list(diagnostic), "What the last run failed with.")),
	counts: described(
		record({
			runs: record({ settled: whole(), changed: whole(), failed: whole() }),
			repairs: described(z.record(text(), whole()), "By likely cause."),
			events: described(z.record(text(), whole()), "Events that were heard, by what they were about."),
			configurationsRefused: whole(),
		}),
		"Since the process began.",
	),
	usage: record({
		cpuSeconds: number(),
		residentBytes: whole(),
		openDescriptors: whole(),
	}),
});
