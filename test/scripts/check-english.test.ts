/** Wordings that `make check` refuses: each is written into a separate text. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { FROM_SOURCE } from "../support/node.ts";

const SCRIPT = fileURLToPath(new URL("../../scripts/check-english.ts", import.meta.url));

/** The result of the check for a tree whose only text is this. */
function check(text: string): { readonly status: number | null; readonly said: string } {
	const root = mkdtempSync(join(tmpdir(), "l3dsr-english-"));
	try {
		for (const folder of ["bench", "docs", "examples", "packages", "packaging", "scripts", "test"]) {
			mkdirSync(join(root, folder));
		}
		for (const name of ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"]) writeFileSync(join(root, name), "");
		writeFileSync(join(root, "docs/page.md"), text);
		const { status, stdout, stderr } = spawnSync(process.execPath, [...FROM_SOURCE, SCRIPT, root], {
			encoding: "utf8",
		});
		return { status, said: stdout + stderr };
	} finally {
		rmSync(root, { recursive: true });
	}
}

test("names file, line and remedy of an inverted negation", () => {
	assert.deepEqual(check("# Title\n\nThis is no file.\n"), {
		status: 1,
		said: 'docs/page.md:3: "is no file.": write "is not a …"\n',
	});
});

for (const text of ["that which runs", "where eBPF is not to be had", "the name thereof"]) {
	test(`refuses "${text}"`, () => {
		const { status, said } = check(`${text}\n`);
		assert.equal(status, 1);
		assert.match(said, /^docs\/page\.md:1: "/);
	});
}

test("accepts the same words in plain sentences", () => {
	const text = "There is no file. There are no rules. It is no longer there. It is no larger than 10.\n";
	assert.deepEqual(check(text), { status: 0, said: "" });
});
