import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { describe, it } from "node:test";
import type { CliContext } from "../../src/cli/context.ts";
import { runL3dsr } from "../../src/cli/l3dsr.ts";
import { VERSION } from "../../src/cli/package-version.ts";

interface Outcome {
	exitCode: number;
	stdout: string;
	stderr: string;
}

async function run(...argv: string[]): Promise<Outcome> {
	const sinks = { stdout: "", stderr: "" };
	const sink = (name: "stdout" | "stderr") =>
		new Writable({
			write(chunk, _encoding, done) {
				sinks[name] += String(chunk);
				done();
			},
		});
	const context: CliContext = {
		programName: "l3dsr",
		programPath: "/nowhere/bin/l3dsr",
		argv,
		env: {},
		stdout: sink("stdout"),
		stderr: sink("stderr"),
		outputClosed: new AbortController().signal,
	};
	return { exitCode: await runL3dsr(context), ...sinks };
}

describe("l3dsr", () => {
	it("prints its version, alone and with its environment", async () => {
		assert.deepEqual(await run("--version"), { exitCode: 0, stdout: `l3dsr ${VERSION}\n`, stderr: "" });
		const { exitCode, stdout } = await run("version", "--json");
		assert.equal(exitCode, 0);
		const record = JSON.parse(stdout);
		assert.equal(record.l3dsr, VERSION);
		assert.equal(record.node, process.versions.node);
		assert.ok(["program", "helper", "unknown"].includes(record.tcChecksum.by));
	});

	it("lists its subcommands in --help, without internal ones", async () => {
		const { exitCode, stdout } = await run("--help");
		assert.equal(exitCode, 0);
		assert.match(stdout, /^ {2}version .*features$/m);
		assert.doesNotMatch(stdout, /lab-worker/);
	});

	it("refuses an unknown subcommand with exit code 2 and the nearest name", async () => {
		assert.deepEqual(await run("verson"), {
			exitCode: 2,
			stdout: "",
			stderr: "error[USAGE]: unknown command 'verson'\nhint: did you mean version?\n",
		});
	});

	it("refuses an unknown option of a subcommand, also in JSON", async () => {
		const text = await run("version", "--jsn");
		assert.equal(text.exitCode, 2);
		assert.equal(text.stderr, "error[USAGE]: unknown option '--jsn'\nhint: did you mean --json?\n");
		const json = await run("version", "--jsn", "--json");
		assert.equal(json.exitCode, 2);
		assert.deepEqual(JSON.parse(json.stderr), {
			schema: "l3dsr.errors/1",
			errors: [{ code: "USAGE", message: "unknown option '--jsn'", hint: "did you mean --json?" }],
		});
	});

	it("names an argument that is too many, and the -c that a configuration needs", async () => {
		assert.deepEqual(await run("up", "-n", "web.yaml"), {
			exitCode: 2,
			stdout: "",
			stderr:
				'error[USAGE]: l3dsr up takes no argument, but "web.yaml" was given\n' +
				"hint: a configuration is named with -c: l3dsr up -c web.yaml\n",
		});
		const { stderr } = await run("version", "x");
		assert.match(stderr, /takes no argument, but "x" was given\nhint: l3dsr version --help/);
	});

	it("says where an option belongs that stands before the command", async () => {
		const { exitCode, stderr } = await run("-c", "web.yaml", "up");
		assert.equal(exitCode, 2);
		assert.equal(
			stderr,
			"error[USAGE]: unknown option '-c'\n" +
				"hint: the command comes first, then its options: l3dsr up -c …\n",
		);
		assert.match((await run("--nonsense")).stderr, /hint: l3dsr status --help lists the choices/);
	});

	it("shows the usage of a command whose argument is missing", async () => {
		const { exitCode, stderr } = await run("drain");
		assert.equal(exitCode, 2);
		assert.equal(
			stderr,
			"error[USAGE]: missing required argument 'real'\nhint: write l3dsr drain [options] <real...>\n",
		);
	});
});
