/**
 * Writes the files in docs/reference that are generated from schemas: the JSON Schemas of l3dsr.yaml,
 * fleet.yaml and the records, and the OpenAPI document. With --check it only compares.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { jsonSchema } from "../packages/l3dsr/src/syntax/config/json-schema.ts";
import { fleetJsonSchema } from "../packages/l3dsr/src/syntax/fleet/json-schema.ts";
import { jsonSchemas } from "../packages/records/src/named.ts";
import { openApi } from "../packages/records/src/openapi.ts";
import { STANDALONE } from "../packages/records/src/standalone.ts";
import type { StandaloneName } from "../packages/records/src/version.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const { version } = JSON.parse(readFileSync(`${root}packages/l3dsr/package.json`, "utf8"));

const GENERATED = {
	"l3dsr.schema.json": `${JSON.stringify(jsonSchema(), null, "\t")}\n`,
	"fleet.schema.json": `${JSON.stringify(fleetJsonSchema(), null, "\t")}\n`,
	"records.schema.json": `${JSON.stringify(recordSchemas(), null, "\t")}\n`,
	"openapi.yaml": stringify(openApi(version), { lineWidth: 110, aliasDuplicateObjects: false }),
};

/** The schema of every record that a command prints. */
function recordSchemas(): object {
	const names = Object.keys(STANDALONE) as StandaloneName[]; // its keys
	return {
		$schema: "https://json-schema.org/draft/2020-12/schema",
		title: "The records of l3dsr",
		$defs: jsonSchemas("#/$defs/", names),
	};
}

for (const [name, text] of Object.entries(GENERATED)) {
	const path = `${root}docs/reference/${name}`;
	if (process.argv[2] !== "--check") writeFileSync(path, text);
	else if (readFileSync(path, "utf8") !== text) {
		console.error(`docs/reference/${name} is stale: make schema`);
		process.exitCode = 1;
	}
}
