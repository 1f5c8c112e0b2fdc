/** The distributions' own lint tools. Each remark that stays is explained where it is filtered. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { attempt, PACKAGES } from "./host.ts";

/** One of each kind: they differ between systems only in name. */
const built = (kind: RegExp) => readdirSync(PACKAGES).filter((name) => kind.test(name));

describe("lintian", () => {
	for (const name of built(/-1_.*\.deb$/)) {
		it(`has no errors, warnings or hints for ${name}`, () => {
			const { status, stdout, stderr } = attempt("lintian", [
				"--allow-root",
				"--display-info",
				"--fail-on=error,warning,info",
				// One list for all: a remark about a first version does not apply to one with a suffix.
				"--suppress-tags=unused-override",
				join(PACKAGES, name),
			]);
			assert.equal(stdout + stderr, "");
			assert.equal(status, 0);
		});
	}
});

describe("rpmlint", () => {
	for (const name of built(/\.(el9|fc43)\..*\.rpm$|\.el8\.(x86_64|aarch64)\.rpm$/)) {
		it(`has no remarks on ${name}`, () => {
			const { status, stdout, stderr } = attempt("rpmlint", [
				"-c",
				"packaging/rpm/rpmlint.toml",
				join(PACKAGES, name),
			]);
			assert.match(
				stdout,
				/\b1 packages and 0 specfiles checked; 0 errors, 0 warnings, 0 badness/,
				stdout + stderr,
			);
			assert.equal(status, 0);
		});
	}
});
