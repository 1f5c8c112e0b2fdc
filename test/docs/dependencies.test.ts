import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const manifest = JSON.parse(read("package.json"));
const pinned: Record<string, string> = { ...manifest.dependencies, ...manifest.devDependencies };

describe("docs/design/dependencies.md", () => {
	it("has a row for each package of package.json, and for no other", () => {
		const rows = [...read("docs/design/dependencies.md").matchAll(/^\| (\S+?)(?: (\d+))? \|/gm)];
		const names = rows
			.map(([, name = ""]) => name)
			.filter((name) => name !== "package" && !/^-+$/.test(name));
		assert.deepEqual(names.sort(), Object.keys(pinned).sort());
		for (const [, name = "", major] of rows) {
			if (major !== undefined) assert.equal(pinned[name]?.split(".")[0], major, name);
		}
	});

	it("is of pinned versions only", () => {
		for (const [name, version] of Object.entries(pinned)) assert.match(version, /^\d+\.\d+\.\d+$/, name);
	});
});
