/** What the distributions' own judges say. Each remark that stays is answered where it is filtered. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { attempt, PACKAGES } from "./host.ts";

/** One of each kind: they differ by system in name only. */
const built = (kind: RegExp) => readdirSync(PACKAGES).filter((name) => kind.test(name));

describe("lintian", () => {
	for (const name of built(/-1_.*\.deb$/)) {
		it(`has nothing to say of ${name}, errors, warnings and hints`, () => {
			const { status, stdout, stderr } = attempt("lintian", [
				"--allow-root",
				"--display-info",
				"--fail-on=error,warning,info",
				// One list for all: what is said of a first version is not said of one with a suffix.
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
		it(`has nothing to say of ${name}`, () => {
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
