import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { enterNetns, runScript } from "../../../test/support/netns.ts";

enterNetns();

const README = readFileSync(new URL("../README.md", import.meta.url), "utf8");
// Below the package, where its own name and those of the others are found.
const folder = mkdtempSync(fileURLToPath(new URL("../.readme-", import.meta.url)));
after(() => rmSync(folder, { recursive: true }));

const EXAMPLE =
	/^## (?<title>.*)$(?:(?!^## )[\s\S])*?^```ts\n(?<code>[\s\S]*?)^```\n```\n(?<output>[\s\S]*?)^```$/gm;

const examples = [...README.matchAll(EXAMPLE)].map(({ groups }) => groups ?? {});

test("the README has examples", () => {
	assert.equal(examples.length, README.match(/^```ts$/gm)?.length);
	assert.ok(examples.length >= 3);
});

for (const [n, { title = "", code = "", output }] of examples.entries()) {
	test(`the README's example prints what it says: ${title}`, async () => {
		const file = join(folder, `example-${n}.mts`);
		writeFileSync(file, code);
		assert.equal(await runScript(file), output);
	});
}
