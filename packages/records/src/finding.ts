/** Drift and faults: `GET /v1/findings`. */
import * as z from "zod/mini";
import { described, list, record, schema, text, time } from "./value.ts";

export const severity = () =>
	described(
		z.enum(["error", "warning", "note"]),
		"error: packets are lost or misdirected. warning: they may be. note: good to know.",
	);

export const finding = record({
	kind: described(
		text(),
		"A kind of drift (address-missing, rule-missing), the name of a check (arp, reverse-path), or configuration, agent, director.",
	),
	severity: severity(),
	object: z.nullable(described(text(), "The object, if it is about a single one.")),
	message: described(text(), "A sentence: the finding and its effect."),
	remedy: z.nullable(described(text(), "What to do about it.")),
	causes: described(list(text()), "Possible causes, the likeliest first."),
});

export const findings = record({
	schema: schema("findings"),
	time: time(),
	findings: list(finding),
});
