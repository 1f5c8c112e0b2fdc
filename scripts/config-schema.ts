/**
 * Writes what is generated from schemas into docs/reference: the JSON Schemas of l3dsr.yaml and fleet.yaml, and the OpenAPI
 * document; with --check only compares.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { jsonSchema } from "../packages/l3dsr/src/syntax/config/json-schema.ts";
import { fleetJsonSchema } from "../packages/l3dsr/src/syntax/fleet/json-schema.ts";
import { openApi } from "../packages/records/src/openapi.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const { version } = JSON.parse(readFileSync(`${root}packages/l3dsr/package.json`, "utf8"));

const GENERATED = {
	"l3dsr.schema.json": `${JSON.stringify(jsonSchema(), null, "\t")}\n`,
	"fleet.schema.json": `${JSON.stringify(fleetJsonSchema(), null, "\t")}\n`,
	"openapi.yaml": stringify(openApi(version), { lineWidth: 110, aliasDuplicateObjects: false }),
};

for (const [name, text] of Object.entries(GENERATED)) {
	const path = `${root}docs/reference/${name}`;
	if (process.argv[2] !== "--check") writeFileSync(path, text);
	else if (readFileSync(path, "utf8") !== text) {
		console.error(`docs/reference/${name} is stale: make schema`);
		process.exitCode = 1;
	}
}
