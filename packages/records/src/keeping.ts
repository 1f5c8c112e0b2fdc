/** Whether an agent keeps a host as its configuration says: `keeping` in the status and in the plan. */
import * as z from "zod/mini";
import { described, record, text, time, whole } from "./value.ts";

export const keeping = record({
	agent: described(
		z.nullable(
			record({
				process: described(whole(), "Its process id."),
				configuration: described(text(), "Absolute path of the file that it applies."),
			}),
		),
		"The agent that runs on this host; null if none does.",
	),
	hold: described(
		z.nullable(record({ by: described(text(), "The command: l3dsr down."), since: time() })),
		"Agents leave this host alone, until l3dsr up; null if they do not.",
	),
});
