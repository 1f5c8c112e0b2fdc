/** Checks the README of a package: each block of code must print the block below it. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { runScript } from "./netns.ts";

const EXAMPLE =
	/^## (?<title>.*)$(?:(?!^## )[\s\S])*?^```ts\n(?<code>[\s\S]*?)^```\n```\n(?<output>[\s\S]*?)^```$/gm;

/** `folder`: the package's folder, as a URL that ends in a slash. */
export function testReadme(folder: URL): void {
	const readme = readFileSync(new URL("README.md", folder), "utf8");
	const examples = [...readme.matchAll(EXAMPLE)].map(({ groups }) => groups ?? {});
	// Below the package, where its own name and those of the others are resolved.
	const scratch = mkdtempSync(fileURLToPath(new URL(".readme-", folder)));
	after(() => rmSync(scratch, { recursive: true }));

	test("every block of code in the README is followed by its output", () => {
		assert.equal(examples.length, readme.match(/^```ts$/gm)?.length);
		assert.ok(examples.length >= 3);
	});

	for (const [n, { title = "", code = "", output }] of examples.entries()) {
		test(`the README's example prints the shown output: ${title}`, async () => {
			const file = join(scratch, `example-${n}.mts`);
			writeFileSync(file, code);
			assert.equal(await runScript(file), output);
		});
	}
}
