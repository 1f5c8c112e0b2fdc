/** The table of VIPs in the formats of other programs: `l3dsr export --json`, `import --json`. */
import { diagnostic } from "./diagnostic.ts";
import { described, list, record, schema, text } from "./value.ts";

export const exported = record({
	schema: schema("export"),
	format: text(),
	text: text(),
	left: described(list(record({ what: text(), why: text() })), "What the format cannot express."),
});

export const imported = record({
	schema: schema("import"),
	format: text(),
	text: text(),
	left: described(list(record({ place: text(), what: text(), why: text() })), "What is not in the text."),
	notes: list(text()),
	conflicts: list(diagnostic),
});
