/**
 * Validates what --json prints, and what the agent serves: with the zod schemas of packages/records, which are strict, and
 * with the published documents, which are what a user has.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { parse } from "yaml";
import type * as z from "zod/mini";
import { titleOf } from "../../packages/records/src/named.ts";
import { STANDALONE } from "../../packages/records/src/standalone.ts";
import { type StandaloneName, schemaId } from "../../packages/records/src/version.ts";

const published = (name: string): string =>
	readFileSync(new URL(`../../docs/reference/${name}`, import.meta.url), "utf8");

/** Compiles schemas when they are first used: most tests use few of them. */
class Documents {
	readonly #ajv = addFormats.default(new Ajv2020({ allErrors: true, allowUnionTypes: true }));

	constructor() {
		this.#ajv.addSchema(JSON.parse(published("records.schema.json")), "records");
		// What is beside the schemas of the document.
		this.#ajv.addVocabulary(Object.keys(OPENAPI));
		this.#ajv.addSchema({ ...OPENAPI, $id: "openapi" });
	}

	/** `pointer`: of a schema in one of the documents. */
	assertValid(pointer: string, value: unknown, what: string): void {
		const validate: ValidateFunction | undefined = this.#ajv.getSchema(pointer);
		assert.ok(validate !== undefined, `there is a schema ${pointer}`);
		validate(value);
		assert.deepEqual(validate.errors ?? [], [], `${what}: ${JSON.stringify(value)}`);
	}
}

interface Operation {
	readonly responses: Readonly<
		Record<string, { readonly content?: Readonly<Record<string, { readonly schema: object }>> }>
	>;
}

/** docs/reference/openapi.yaml. */
export const OPENAPI: { readonly paths: Readonly<Record<string, { readonly get: Operation }>> } = parse(
	published("openapi.yaml"),
);

const documents = new Documents();

/** Parses one record of JSON; fails if it is not that record, lacks a field, or has one that the schema does not know. */
export function assertRecord<N extends StandaloneName>(
	name: N,
	json: string,
): z.output<(typeof STANDALONE)[N]> {
	const record = JSON.parse(json);
	assert.equal(record.schema, schemaId(name));
	assert.equal(Object.keys(record)[0], "schema", "a record says first which it is");
	assert.deepEqual(STANDALONE[name].safeParse(record).error?.issues ?? [], [], `${name}: ${json}`);
	documents.assertValid(`records#/$defs/${titleOf(name)}`, record, name);
	return record;
}

const NAMES = Object.keys(STANDALONE) as StandaloneName[]; // its keys

/** Like {@link assertRecord}, for all that a command has printed with --json: nothing, one record, or one per line. */
export function assertRecords(printed: string): void {
	const text = printed.trimEnd();
	if (text === "") return;
	// A record that stands alone is indented; those that follow one another are a line each.
	for (const record of text.includes("\n ") ? [text] : text.split("\n")) {
		const { schema } = JSON.parse(record);
		const name = NAMES.find((one) => schemaId(one) === schema);
		assert.ok(name !== undefined, `there is a schema ${schema}: ${record}`);
		assertRecord(name, record);
	}
}

/** Fails if openapi.yaml does not describe this response to a GET of `path`, which may have a query. */
export function assertDescribed(
	path: string,
	{
		status,
		type,
		body,
	}: { readonly status: number; readonly type: string | undefined; readonly body: string },
): void {
	const [route = ""] = path.split("?", 1);
	const response = OPENAPI.paths[route]?.get.responses[status];
	assert.ok(response !== undefined, `openapi.yaml describes ${status} for ${route}`);
	if (response.content === undefined) {
		assert.equal(body, "", `${status} for ${route} has no body`);
		return;
	}
	const [mediaType = ""] = (type ?? "").split(";", 1);
	assert.ok(mediaType in response.content, `openapi.yaml describes ${mediaType} for ${route}`);
	const escaped = [route, mediaType].map((part) => part.replaceAll("~", "~0").replaceAll("/", "~1"));
	const pointer = `openapi#/paths/${escaped[0]}/get/responses/${status}/content/${escaped[1]}/schema`;
	const value = mediaType === "application/json" ? JSON.parse(body) : body;
	documents.assertValid(pointer, value, `${status} for ${route}`);
}

/** Fails if openapi.yaml does not describe this event of `/v1/events`: its data, as JSON. */
export function assertEventDescribed(data: string): void {
	documents.assertValid("openapi#/components/schemas/Event", JSON.parse(data), "an event");
}
