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

export const event = z.looseObject({
	id: described(whole(), "From 1, in the order in which this agent wrote the events."),
	time: time(),
	kind: described(
		text(),
		"started, stopped, configured, repaired, failed, recovered, configuration-refused, configuration-restored, contention, contention-over, held, released, health, upkeep-failed, upkeep-recovered; there may be more. The other fields of an event depend on its kind.",
	),
	severity: z.enum(["info", "notice", "warning", "error"]),
	message: described(text(), "A sentence."),
	triggers: z.optional(triggers()),
	cause: z.optional(
		described(
			record({
				kind: text(),
				suspects: described(list(text()), "Sentences, the likeliest first."),
				by: z.optional(record({ process: whole(), program: z.optional(text()) })),
			}),
			"The likely cause of a repair.",
		),
	),
	drift: z.optional(list(drift)),
	steps: z.optional(list(step)),
	errors: z.optional(list(diagnostic)),
	changes: z.optional(
		described(
			list(
				record({
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
				}),
			),
			"For kind health: the checks whose outcome has changed, one for each VIP address, port and real server.",
		),
	),
	tookMs: z.optional(described(number(), "From the first event that was heard to the last change.")),
	verifiedMs: z.optional(
		described(number(), "From the first event to the look that has found nothing left to do."),
	),
});

/** One line of `l3dsr agent --json`. */
export const printedEvent = z.looseObject({ schema: schema("agent-event"), ...event.shape });

export const events = record({
	schema: schema("events"),
	events: described(list(event), "The latest, the oldest first."),
});
