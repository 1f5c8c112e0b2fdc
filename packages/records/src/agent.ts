/** The state of the agent: `agent` in the status that it serves. */
import * as z from "zod/mini";
import { diagnostic } from "./diagnostic.ts";
import { described, list, number, record, text, time, whole } from "./value.ts";

/** What triggered a run of the agent. */
export const triggers = () =>
	described(
		list(text()),
		"What triggered the run: start, link, address, route, neighbour, ruleset, program, file, signal, command, lost, minute, retry.",
	);

export const agent = record({
	version: text(),
	process: described(whole(), "Its process id."),
	startedAt: time(),
	condition: described(
		z.enum(["starting", "right", "failing", "contended", "held"]),
		"starting: no run has ended. right: after the last run, the host matches its configuration. failing: the last run failed. contended: something else repeatedly changes it back. held: somebody ran l3dsr down.",
	),
	configuration: record({
		source: text(),
		services: whole(),
		readAt: described(time(), "When the configuration in force was read."),
		refused: z.optional(described(list(diagnostic), "Why the current file is not in force.")),
	}),
	lastRun: z.optional(
		record({
			time: time(),
			tookMs: number(),
			triggers: triggers(),
			outcome: z.enum(["settled", "changed", "failed"]),
		}),
	),
	rightAt: z.optional(described(time(), "When a run last left the host matching its configuration.")),
	failure: z.optional(described(list(diagnostic), "The error of the last run.")),
	counts: described(
		record({
			runs: record({ settled: whole(), changed: whole(), failed: whole() }),
			repairs: described(z.record(text(), whole()), "By likely cause."),
			events: described(z.record(text(), whole()), "Events received, by subject."),
			configurationsRefused: whole(),
		}),
		"Since the start of the process.",
	),
	usage: record({
		cpuSeconds: number(),
		residentBytes: whole(),
		openDescriptors: whole(),
	}),
});
