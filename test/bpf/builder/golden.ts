/** Compares a text with its file under test/golden; UPDATE_GOLDEN=1 writes it anew. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

export function assertGolden(name: string, text: string): void {
	const file = fileURLToPath(new URL(`../../golden/${name}`, import.meta.url));
	if (process.env["UPDATE_GOLDEN"] === "1") {
		mkdirSync(dirname(file), { recursive: true });
		writeFileSync(file, text);
		return;
	}
	assert.ok(existsSync(file), `${file} is missing: run with UPDATE_GOLDEN=1 and review it`);
	assert.equal(text, readFileSync(file, "utf8"));
}
