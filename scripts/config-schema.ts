/**
 * Writes the JSON Schemas of l3dsr.yaml and fleet.yaml into docs/reference from the schemas that check the files; with
 * --check only compares.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { jsonSchema } from "../packages/l3dsr/src/syntax/config/json-schema.ts";
import { fleetJsonSchema } from "../packages/l3dsr/src/syntax/fleet/json-schema.ts";

const SCHEMAS = { "l3dsr.schema.json": jsonSchema(), "fleet.schema.json": fleetJsonSchema() };

for (const [name, schema] of Object.entries(SCHEMAS)) {
	const path = fileURLToPath(new URL(`../docs/reference/${name}`, import.meta.url));
	const text = `${JSON.stringify(schema, null, "\t")}\n`;
	if (process.argv[2] !== "--check") writeFileSync(path, text);
	else if (readFileSync(path, "utf8") !== text) {
		console.error(`docs/reference/${name} is stale: make schema`);
		process.exitCode = 1;
	}
}
