/** Errors: `errors` on stderr with --json, and in the agent's records. */
import * as z from "zod/mini";
import { described, list, record, schema, text, whole } from "./value.ts";

export const diagnostic = record({
	code: described(text(), "One of docs/reference/errors.md."),
	message: text(),
	position: z.optional(
		described(
			record({ source: text(), line: whole(), column: whole(), length: whole(), text: text() }),
			"Position in a file or command line; line and column from 1.",
		),
	),
	notes: z.optional(list(text())),
	hint: z.optional(described(text(), "What to do next.")),
});

export const errors = record({
	schema: schema("errors"),
	errors: list(diagnostic),
});
