/** What a command does, or would do, to a host: `l3dsr up --json`, `down --json`, `diff --json`. */
import * as z from "zod/mini";
import { keeping } from "./keeping.ts";
import { address, described, drift, flag, list, record, schema, text } from "./value.ts";

const kind = () => described(text(), "guard, add-address, remove-address, resize, rules; there may be more.");
const commands = () => described(list(text()), "One line for each action, as an equivalent command.");

export const step = record({
	kind: kind(),
	subjects: described(list(text()), "Names of the affected services; the VIP if there is no name."),
	commands: commands(),
});

const stopped = described(
	record({ service: text(), vip: address(), reason: text() }),
	"A service that is not possible on this host.",
);

export const plan = record({
	schema: schema("plan"),
	configuration: described(z.nullable(text()), "Name of the file; null for down."),
	dryRun: flag(),
	stopped: list(stopped),
	steps: list(step),
	keeping,
});

export const diff = record({
	schema: schema("diff"),
	configuration: text(),
	stopped: list(stopped),
	drift: list(drift),
	suspects: described(list(text()), "Possible causes, the likeliest first."),
	refused: z.optional(described(text(), "Why up would refuse.")),
	steps: described(list(step), "What up would do."),
});
