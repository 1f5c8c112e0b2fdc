/** The records and their parts that have their own name in the JSON Schemas and the OpenAPI document. */
import * as z from "zod/mini";
import { agent } from "./agent.ts";
import { diagnostic } from "./diagnostic.ts";
import { directedService, director, real } from "./director.ts";
import { event } from "./event.ts";
import { finding } from "./finding.ts";
import { keeping } from "./keeping.ts";
import { step } from "./plan.ts";
import { STANDALONE } from "./standalone.ts";
import { selection, service } from "./status.ts";

/** Parts of records, by name. */
const PARTS = {
	Agent: agent,
	Diagnostic: diagnostic,
	DirectedService: directedService,
	Director: director,
	Event: event,
	Finding: finding,
	Keeping: keeping,
	Real: real,
	Selection: selection,
	Service: service,
	Step: step,
} as const satisfies Record<string, z.ZodMiniType>;

type JsonSchema = Readonly<Record<string, unknown>>;

/**
 * Schemas as JSON Schema (2020-12) by name, which refer to one another below `base` (`#/$defs/`): those of `names`, and
 * every part.
 */
export function jsonSchemas(
	base: string,
	names: readonly (keyof typeof STANDALONE)[],
): Readonly<Record<string, JsonSchema>> {
	const registry = z.registry<{ id: string; description?: string }>();
	const standalone = names.map((name) => [titleOf(name), STANDALONE[name]] as const);
	for (const [id, schema] of [...standalone, ...Object.entries(PARTS)]) registry.add(schema, { id });
	const { schemas } = z.toJSONSchema(registry, {
		uri: (id) => `${base}${id}`,
		// A reader must accept unknown fields: later versions have more.
		io: "input",
		override: ({ zodSchema, jsonSchema }) => {
			const description = z.globalRegistry.get(zodSchema)?.description;
			if (description !== undefined) jsonSchema.description = description;
			delete jsonSchema.additionalProperties;
			if (jsonSchema.multipleOf === 1) {
				delete jsonSchema.multipleOf;
				jsonSchema.type = "integer";
			}
			if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
			if (jsonSchema.format === "date-time") delete jsonSchema.pattern;
			delete jsonSchema.readOnly;
		},
	});
	return Object.fromEntries(
		Object.entries(schemas).map(([id, { $schema: _, $id: __, ...schema }]) => [id, schema]),
	);
}

/** `trace-summary` → `TraceSummary`. */
export function titleOf(name: string): string {
	return name.replace(/(^|-)(.)/g, (_, __, letter: string) => letter.toUpperCase());
}
