import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type * as z from "zod/mini";
import { errors } from "../src/diagnostic.ts";
import { events } from "../src/event.ts";
import { findings } from "../src/finding.ts";
import { fleet } from "../src/fleet.ts";
import { status } from "../src/status.ts";
import { trace } from "../src/trace.ts";

/** Name of a record without its version → its schema. */
const SCHEMAS: Readonly<Record<string, z.ZodMiniType>> = {
	"l3dsr.status": status,
	"l3dsr.findings": findings,
	"l3dsr.events": events,
	"l3dsr.fleet": fleet,
	"l3dsr.trace": trace,
	"l3dsr.errors": errors,
};

const folder = new URL("../samples/", import.meta.url);

describe("the samples", () => {
	for (const name of readdirSync(folder)) {
		it(`${name} is what its schema describes, with no field that the schema does not know`, () => {
			const sample = JSON.parse(readFileSync(new URL(name, folder), "utf8"));
			const schema = SCHEMAS[String(sample.schema).replace(/\/\d+$/, "")];
			assert.ok(schema !== undefined, `there is a schema ${sample.schema}`);
			const { error } = schema.safeParse(sample);
			assert.deepEqual(error?.issues ?? [], []);
		});
	}
});
