import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { enterNetns, runScript } from "../../../test/support/netns.ts";

enterNetns();

const README = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const LIBRARY = fileURLToPath(new URL("../src/index.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "nftables-readme-"));
after(() => rmSync(folder, { recursive: true }));

const EXAMPLE =
	/^## (?<title>.*)$(?:(?!^## )[\s\S])*?^```ts\n(?<code>[\s\S]*?)^```\n```\n(?<output>[\s\S]*?)^```$/gm;

const examples = [...README.matchAll(EXAMPLE)].map(({ groups }) => groups ?? {});

test("the README has examples", () => {
	assert.equal(examples.length, README.match(/^```ts$/gm)?.length);
	assert.ok(examples.length >= 5);
});

for (const [n, { title = "", code = "", output }] of examples.entries()) {
	test(`the README's example prints what it says: ${title}`, async () => {
		const file = join(folder, `example-${n}.mts`);
		writeFileSync(file, code.replaceAll('"@l3dsr/nftables"', JSON.stringify(LIBRARY)));
		assert.equal(await runScript(file), output);
	});
}
