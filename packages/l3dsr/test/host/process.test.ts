import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { exitCodeOf } from "../../src/cli/exit-codes.ts";
import { L3dsrError } from "../../src/errors.ts";
import { findProgram, systemPrograms } from "../../src/host/process.ts";

describe("findProgram", () => {
	it("finds a system program although PATH is unset, empty, or relative", () => {
		for (const path of [undefined, "", ".:bin"]) assert.match(findProgram("sh", path) ?? "", /^\/.*\/sh$/);
	});

	it("prefers PATH to the system directories and passes over what is not executable", () => {
		const directory = mkdtempSync(join(tmpdir(), "l3dsr-"));
		try {
			writeFileSync(join(directory, "sh"), "");
			chmodSync(join(directory, "sh"), 0o755);
			assert.equal(findProgram("sh", directory), join(directory, "sh"));
			chmodSync(join(directory, "sh"), 0o644);
			assert.notEqual(findProgram("sh", directory), join(directory, "sh"));
		} finally {
			rmSync(directory, { recursive: true });
		}
	});
});

describe("systemPrograms", () => {
	const programs = systemPrograms({ LANG: "de_DE.UTF-8" });

	it("gives the input to the program and its output and exit code back", async () => {
		const script = 'cat; echo "$LC_ALL" >&2; exit 3';
		const result = await programs.run("sh", ["-c", script], { input: "grüße" });
		assert.deepEqual(result, { exitCode: 3, stdout: "grüße", stderr: "C\n" });
	});

	it("hands the input over as a whole, so that being killed cannot cut it short", async () => {
		const result = await programs.run("stat", ["-L", "-c", "%s", "/proc/self/fd/0"], {
			input: "x".repeat(1e6),
		});
		assert.equal(result.stdout, "1000000\n");
	});

	it("does not mind a program that does not read its input", async () => {
		const result = await programs.run("true", [], { input: "x".repeat(1_000_000) });
		assert.equal(result.exitCode, 0);
	});

	it("says which package a missing program is in", async () => {
		await assert.rejects(programs.run("l3dsr-no-such-program", []), (error) => {
			assert.ok(error instanceof L3dsrError);
			assert.equal(error.code, "PROGRAM_MISSING");
			assert.equal(exitCodeOf(error), 3);
			assert.match(error.diagnostics[0].hint ?? "", /apt-get install l3dsr-no-such-program/);
			return true;
		});
	});

	it("reports a program that a signal ended", async () => {
		await assert.rejects(programs.run("sh", ["-c", "kill -9 $$"]), /killed by SIGKILL/);
	});
});
