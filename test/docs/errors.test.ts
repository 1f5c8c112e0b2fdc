import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { ERROR_TABLE } from "../../packages/l3dsr/src/cli/error-table.ts";

const [, ...sections] = readFileSync(
	new URL("../../docs/reference/errors.md", import.meta.url),
	"utf8",
).split(/^## /m);

describe("docs/reference/errors.md", () => {
	it("has a section for each code of cli/error-table.ts in the same order, and no other", () => {
		assert.deepEqual(
			sections.map((section) => section.split("\n")[0]),
			Object.keys(ERROR_TABLE),
		);
	});

	for (const [code, { exit, means }] of Object.entries(ERROR_TABLE)) {
		it(`gives ${code} its exit code and meaning, a cause and a remedy`, () => {
			const section = sections.find((candidate) => candidate.startsWith(`${code}\n`)) ?? "";
			const [, said, cause, remedy, ...rest] = section.trim().split("\n\n");
			assert.equal(said, `Exit code ${exit}: ${means}.`);
			assert.match(cause ?? "", /^\*\*Cause:\*\* .+\.$/s);
			assert.match(remedy ?? "", /^\*\*Remedy:\*\* .+\.$/s);
			assert.deepEqual(rest, []);
		});
	}
});
