import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { STANDALONE } from "../src/standalone.ts";
import { type StandaloneName, schemaId } from "../src/version.ts";

const folder = new URL("../samples/", import.meta.url);
const names = Object.keys(STANDALONE) as StandaloneName[]; // its keys

describe("the samples", () => {
	for (const file of readdirSync(folder)) {
		it(`${file} is what its schema describes, with no field that the schema does not know`, () => {
			const sample = JSON.parse(readFileSync(new URL(file, folder), "utf8"));
			const name = names.find((one) => schemaId(one) === sample.schema);
			assert.ok(name !== undefined, `there is a schema ${sample.schema}`);
			const { error } = STANDALONE[name].safeParse(sample);
			assert.deepEqual(error?.issues ?? [], []);
		});
	}
});
