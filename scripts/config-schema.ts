/** Writes docs/reference/l3dsr.schema.json from the schema of l3dsr.yaml; with --check only compares. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { jsonSchema } from "../packages/l3dsr/src/syntax/config/json-schema.ts";

const path = fileURLToPath(new URL("../docs/reference/l3dsr.schema.json", import.meta.url));
const text = `${JSON.stringify(jsonSchema(), null, "\t")}\n`;
if (process.argv[2] === "--check") {
	const same = readFileSync(path, "utf8") === text;
	if (!same) console.error("docs/reference/l3dsr.schema.json is stale: make schema");
	process.exitCode = same ? 0 : 1;
} else {
	writeFileSync(path, text);
}
