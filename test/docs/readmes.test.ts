/** The READMEs of packages and layers name today's files. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../support/commands.ts";

const files = ["packages", "scripts", "bench"].flatMap((folder) =>
	readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
		.filter((path) => !path.includes("node_modules"))
		.map((path) => join(folder, path)),
);
const readmes = files.filter((path) => path.endsWith("/README.md"));

/** Where a README may find a file that it names: below its own folder, below packages/l3dsr, or from the root. */
function isThere(readme: string, name: string): boolean {
	const folders = [`${dirname(readme)}/`, "packages/l3dsr/"];
	return files.some(
		(path) =>
			path === name || (folders.some((folder) => path.startsWith(folder)) && path.endsWith(`/${name}`)),
	);
}

test("a source file that a README names exists", () => {
	assert.ok(readmes.length > 15, `${readmes.length} READMEs`);
	let named = 0;
	for (const readme of readmes) {
		for (const [, name = ""] of readFileSync(join(ROOT, readme), "utf8").matchAll(/`([\w./-]+\.tsx?)`/g)) {
			named++;
			assert.ok(isThere(readme, name), `${readme} names ${name}`);
		}
	}
	assert.ok(named > 100, `${named} names`);
});
