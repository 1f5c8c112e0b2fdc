/** Whether a configuration is valid and the host can serve it: `l3dsr check --json`. */
import * as z from "zod/mini";
import { severity } from "./finding.ts";
import { described, list, record, schema, text, whole } from "./value.ts";

export const check = record({
	schema: schema("check"),
	configuration: text(),
	services: whole(),
	findings: list(record({ check: text(), severity: severity(), message: text(), remedy: text() })),
	questions: described(
		list(record({ about: text(), question: text(), how: text() })),
		"What the host cannot know about itself, and how the operator can find out.",
	),
	skipped: z.optional(record({ what: text(), why: text() })),
});
