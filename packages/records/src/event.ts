/** What has happened, as the agent reports it: `GET /v1/events`, and the records in the journal. */
import * as z from "zod/mini";
import { triggers } from "./agent.ts";
import { diagnostic } from "./diagnostic.ts";
import { checkType } from "./director.ts";
import { step } from "./plan.ts";
import {
	address,
	described,
	drift,
	flag,
	list,
	number,
	port,
	record,
	schema,
	text,
	time,
	whole,
} from "./value.ts";

const KINDS = [
	"started",
	"stopped",
	"configured",
	"repaired",
	"failed",
	"recovered",
	"configuration-refused",
	"configuration-restored",
	"contention",
	"contention-over",
	"held",
	"released",
	"health",
	"upkeep-failed",
	"upkeep-recovered",
] as const;

const cause = record({
	kind: text(),
	suspects: described(list(text()), "Sentences, the likeliest first."),
	by: z.optional(
		described(
			record({ process: whole(), program: z.optional(text()) }),
			"Who made the change, if the kernel says so.",
		),
	),
});

const healthChange = record({
	pool: text(),
	real: text(),
	address: address(),
	vip: address(),
	port: z.optional(port()),
	type: checkType(),
	healthy: flag(),
	isNew: described(flag(), "No check had succeeded since it was added or enabled."),
	reason: z.optional(described(text(), "Why the last check failed.")),
	previousMs: described(number(), "How long the previous state lasted."),
});

const optional = <T extends z.ZodMiniType>(schema: T, description: string) =>
	z.optional(described(schema, description));

export const event = record({
	id: described(whole(), "From 1, in the order in which this agent wrote the events."),
	time: time(),
	kind: described(text(), `${KINDS.join(", ")}; there may be more. It determines the other fields.`),
	severity: z.enum(["info", "notice", "warning", "error"]),
	message: described(text(), "A sentence."),
	version: optional(text(), "started: version of l3dsr."),
	process: optional(whole(), "started: process id of the agent."),
	signal: optional(text(), "stopped: what ended the agent."),
	configuration: optional(
		text(),
		"started, configured, configuration-refused, configuration-restored: name of the file.",
	),
	services: optional(whole(), "started, configured, configuration-restored: number of services."),
	triggers: z.optional(triggers()),
	cause: optional(cause, "repaired, contention: the likely cause."),
	drift: optional(list(drift), "repaired: what was found."),
	steps: optional(list(step), "configured, repaired: what was done."),
	warnings: optional(list(text()), "configured, repaired: what else is not as it could be."),
	tookMs: optional(
		number(),
		"configured, repaired: from the first event that was reported to the last change.",
	),
	verifiedMs: optional(
		number(),
		"configured, repaired: from the first event to the look that has found nothing left to do.",
	),
	errors: optional(list(diagnostic), "failed, configuration-refused, upkeep-failed: why."),
	failures: optional(whole(), "failed, recovered: failed attempts in a row."),
	retryMs: optional(number(), "failed: until the next attempt."),
	failingMs: optional(number(), "recovered, upkeep-recovered: how long it failed."),
	keptSince: optional(time(), "configuration-refused: when the configuration in force was read."),
	keptServices: optional(whole(), "configuration-refused: number of services of the configuration in force."),
	subjects: optional(list(text()), "contention: what is changed back."),
	repairs: optional(whole(), "contention: number of repairs."),
	withinMs: optional(number(), "contention: the time within which they were made."),
	delayMs: optional(number(), "contention: the least time until the next repair."),
	quietMs: optional(number(), "contention-over: how long nothing was changed back."),
	since: optional(time(), "held: since when the agent leaves this host alone."),
	by: optional(text(), "held: the command that says so."),
	heldMs: optional(number(), "released: how long the agent left this host alone."),
	changes: optional(
		list(healthChange),
		"health: the checks whose outcome has changed, one for each VIP address, port and real server.",
	),
});

/** One line of `l3dsr agent --json`. */
export const printedEvent = record({ schema: schema("agent-event"), ...event.shape });

export const events = record({
	schema: schema("events"),
	events: described(list(event), "The latest, the oldest first."),
});
