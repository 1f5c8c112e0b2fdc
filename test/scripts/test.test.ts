/** The runner of `make test`. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { FROM_SOURCE } from "../support/node.ts";

const runner = fileURLToPath(new URL("../../scripts/test.ts", import.meta.url));
const SETTING = "/sys/kernel/rcu_expedited";
const folder = mkdtempSync(join(tmpdir(), "l3dsr-runner-"));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, body: string): string {
	const path = join(folder, name);
	writeFileSync(
		path,
		`import { test } from "node:test";\ntest(${JSON.stringify(name)}, () => { ${body} });\n`,
	);
	return path;
}

function runTests(...files: readonly string[]): { status: number | null; stdout: string; stderr: string } {
	// Node sets this variable in tests, and a test run in them would report to the outer one.
	const { NODE_TEST_CONTEXT: _, ...env } = process.env;
	return spawnSync(process.execPath, [...FROM_SOURCE, runner, ...files], { encoding: "utf8", env });
}

test("runs every file, names the slowest, fails if one fails, and restores the kernel's setting", () => {
	const before = readFileSync(SETTING, "utf8");
	const good = file("good.test.mjs", "");
	const bad = file("bad.test.mjs", "throw new Error('no')");
	const passed = runTests(good);
	assert.equal(passed.status, 0, passed.stdout + passed.stderr);
	assert.match(passed.stdout, /✔ good\.test\.mjs/);
	assert.match(passed.stderr, /^test: +\d+\.\d s {2}\S*good\.test\.mjs$/m);
	const failed = runTests(good, bad);
	assert.equal(failed.status, 1);
	assert.match(failed.stdout, /✔ good\.test\.mjs[\s\S]*tests 2\n/);
	assert.equal(readFileSync(SETTING, "utf8"), before);
});
