/** What is not as it should be: `GET /v1/findings`. */
import * as z from "zod/mini";
import { described, list, record, schema, text, time } from "./value.ts";

export const severity = () =>
	described(
		z.enum(["error", "warning", "note"]),
		"error: packets are lost or go astray. warning: they may. note: good to know.",
	);

export const finding = record({
	kind: described(
		text(),
		"A kind of drift (address-missing, rule-missing), the name of a check (arp, reverse-path), or configuration, agent, director.",
	),
	severity: severity(),
	object: z.nullable(described(text(), "What it is about, where it is about one thing.")),
	message: described(text(), "A sentence: what is found, and what comes of it."),
	remedy: z.nullable(described(text(), "What to do about it.")),
	causes: described(list(text()), "Who could have done it, the likeliest first."),
});

export const findings = record({
	schema: schema("findings"),
	time: time(),
	findings: list(finding),
});
