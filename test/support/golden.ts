/** Compares with a golden file; UPDATE_GOLDEN=1 rewrites it. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * A function that compares a text with the file NAME below `folder`: `goldenIn(new URL("./golden/",
 * import.meta.url))`.
 */
export function goldenIn(folder: URL): (name: string, actual: string) => void {
	return (name, actual) => {
		const path = fileURLToPath(new URL(name, folder));
		if (process.env["UPDATE_GOLDEN"] !== undefined) {
			mkdirSync(dirname(path), { recursive: true });
			writeFileSync(path, actual);
		}
		assert.equal(actual, readFileSync(path, "utf8"), `${path} differs (UPDATE_GOLDEN=1 writes it)`);
	};
}
