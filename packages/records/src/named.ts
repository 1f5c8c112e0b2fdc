/** The records that have a name of their own in the JSON Schemas and the OpenAPI document. */
import * as z from "zod/mini";
import { agent } from "./agent.ts";
import { diagnostic, errors } from "./diagnostic.ts";
import { directedService, director, real } from "./director.ts";
import { event, events, step } from "./event.ts";
import { finding, findings } from "./finding.ts";
import { fleet } from "./fleet.ts";
import { selection, service, status } from "./status.ts";
import { trace } from "./trace.ts";

/** Name → schema. */
export const NAMED = {
	Status: status,
	Service: service,
	Selection: selection,
	Director: director,
	DirectedService: directedService,
	Real: real,
	Agent: agent,
	Findings: findings,
	Finding: finding,
	Events: events,
	Event: event,
	Step: step,
	Fleet: fleet,
	Trace: trace,
	Errors: errors,
	Diagnostic: diagnostic,
} as const satisfies Record<string, z.ZodMiniType>;

export type RecordName = keyof typeof NAMED;

type JsonSchema = Readonly<Record<string, unknown>>;

/** Every named schema as JSON Schema (2020-12), which refer to one another below `base`: `#/components/schemas/`. */
export function jsonSchemas(base: string): Readonly<Record<string, JsonSchema>> {
	const registry = z.registry<{ id: string; description?: string }>();
	for (const [id, schema] of Object.entries(NAMED)) {
		const description = z.globalRegistry.get(schema)?.description;
		registry.add(schema, description === undefined ? { id } : { id, description });
	}
	const { schemas } = z.toJSONSchema(registry, {
		uri: (id) => `${base}${id}`,
		// A reader must take fields that it does not know: later versions have more.
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
