import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { EXIT_OF } from "../../packages/l3dsr/src/cli/exit-codes.ts";
import { ERRORS, type ErrorCode } from "../../packages/l3dsr/src/errors.ts";

const [, ...sections] = readFileSync(
	new URL("../../docs/reference/errors.md", import.meta.url),
	"utf8",
).split(/^## /m);

describe("docs/reference/errors.md", () => {
	it("has a section for each code of src/errors.ts in the same order, and for no other", () => {
		assert.deepEqual(
			sections.map((section) => section.split("\n")[0]),
			Object.keys(ERRORS),
		);
	});

	for (const [code, meaning] of Object.entries(ERRORS) as [ErrorCode, string][]) {
		it(`gives ${code} its exit code and meaning, a cause and a remedy`, () => {
			const section = sections.find((candidate) => candidate.startsWith(`${code}\n`)) ?? "";
			const [, said, cause, remedy, ...rest] = section.trim().split("\n\n");
			assert.equal(said, `Exit code ${EXIT_OF[code]}: ${meaning}.`);
			assert.match(cause ?? "", /^\*\*Cause:\*\* .+\.$/s);
			assert.match(remedy ?? "", /^\*\*Remedy:\*\* .+\.$/s);
			assert.deepEqual(rest, []);
		});
	}
});
