/** Checks the output of --json, and the agent's answers, against the schemas of packages/records. */
import assert from "node:assert/strict";
import type * as z from "zod/mini";
import { STANDALONE } from "../../packages/records/src/standalone.ts";
import { type StandaloneName, schemaId } from "../../packages/records/src/version.ts";

/**
 * Parses one record of JSON; fails if it is not that record, lacks a field, or has one that the schema does
 * not know.
 */
export function assertRecord<N extends StandaloneName>(
	name: N,
	json: string,
): z.output<(typeof STANDALONE)[N]> {
	const record = JSON.parse(json);
	assert.equal(record.schema, schemaId(name));
	assert.equal(Object.keys(record)[0], "schema", "a record says first which it is");
	assert.deepEqual(STANDALONE[name].safeParse(record).error?.issues ?? [], [], `${name}: ${json}`);
	return record;
}
