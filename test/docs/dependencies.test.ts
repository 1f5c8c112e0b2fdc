import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
/** Dependencies of the workspace and each of its packages, without the packages themselves. */
const pinned: Record<string, string> = Object.fromEntries(
	["package.json", ...packageManifests()]
		.map((path) => JSON.parse(read(path)))
		.flatMap((manifest) =>
			["dependencies", "devDependencies", "optionalDependencies"].flatMap((kind) =>
				Object.entries<string>(manifest[kind] ?? {}),
			),
		)
		.filter(([name]) => !name.startsWith("@l3dsr/")),
);

function packageManifests(): string[] {
	const names = readdirSync(new URL("../../packages", import.meta.url));
	return names.map((name) => `packages/${name}/package.json`);
}

describe("docs/design/dependencies.md", () => {
	it("has a row for each dependency of the workspace, and for no other", () => {
		const rows = [...read("docs/design/dependencies.md").matchAll(/^\| (\S+?)(?: (\d+))? \|/gm)];
		const names = rows
			.map(([, name = ""]) => name)
			.filter((name) => name !== "package" && !/^-+$/.test(name));
		assert.deepEqual(names.sort(), Object.keys(pinned).sort());
		for (const [, name = "", major] of rows) {
			if (major !== undefined) assert.equal(pinned[name]?.split(".")[0], major, name);
		}
	});

	it("contains only pinned versions", () => {
		for (const [name, version] of Object.entries(pinned)) assert.match(version, /^\d+\.\d+\.\d+$/, name);
	});
});
