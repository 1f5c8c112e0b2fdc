/** `l3dsr drain`, `enable` and `disable` take effect at once, and also for the next process. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns } from "../../../../../test/support/netns.ts";
import { assertRecord } from "../../../../../test/support/records.ts";
import { l3dsr } from "../run-command.ts";
import { CONFIG, FLEET, Stage } from "./stage.ts";

enterNetns();
failOnLeaks();

/** For the IPv4 service: maps names to states with reasons. */
async function statesOf(stage: Stage): Promise<Record<string, string>> {
	const { stdout } = await stage.l3dsr("status", "--json");
	const { reals } = JSON.parse(stdout).director.services[0];
	return Object.fromEntries(
		reals.map(({ name, state, reason }: Record<string, string>) => [
			name,
			reason === undefined ? state : `${state}: ${reason.replace(/\d{4}-.*/, "TIME")}`,
		]),
	);
}

test("the real servers that completion offers are those of the fleet", async () => {
	using stage = new Stage();
	assert.deepEqual(await stage.l3dsr("real-names"), {
		exitCode: 0,
		stdout: "front/a1\nfront/a2\nfront/a3\n",
		stderr: "",
	});
});

test("a real server is drained, disabled and enabled at once, and up keeps that state", async () => {
	using stage = new Stage();
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	const planned = await stage.l3dsr("drain", "a3", "-n");
	for (const name of ["drain", "disable", "enable"])
		assertRecord("plan", (await stage.l3dsr(name, "a3", "-n", "--json")).stdout);
	const drained = await stage.l3dsr("drain", "a3");
	assert.equal(drained.exitCode, 0, drained.stderr);
	assert.equal(planned.stdout, drained.stdout);
	assert.match(
		drained.stdout,
		/^director: web 192\.0\.2\.10 tcp\/80: drain a3 \(10\.1\.0\.3\)\n.*32769 of 65537 slots move[\s\S]*\nfront\/a3 is drained on this host until l3dsr enable front\/a3\n$/,
	);
	assert.deepEqual(await statesOf(stage), {
		a1: "up",
		a2: "up",
		a3: "drain: drained on this host since TIME",
	});
	assert.equal((await stage.l3dsr("up")).stdout, "nothing to do: this host directs 1 VIP\n");

	const disabled = await stage.l3dsr("disable", "10.1.0.3", "front/a1");
	assert.equal(disabled.exitCode, 0, disabled.stderr);
	assert.deepEqual(await statesOf(stage), {
		a1: "disabled: disabled on this host since TIME",
		a2: "up",
		a3: "disabled: disabled on this host since TIME",
	});
	assert.match(
		(await stage.l3dsr("disable", "a3")).stdout,
		/^front\/a3 is disabled on this host already, since /,
	);

	const enabled = await stage.l3dsr("enable", "a1", "a3");
	assert.match(enabled.stdout, /\nfront\/a1 is enabled\nfront\/a3 is enabled\n$/);
	assert.deepEqual(await statesOf(stage), { a1: "up", a2: "up", a3: "up" });
	assert.equal((await stage.l3dsr("enable", "a1")).stdout, "front/a1 is enabled already\n");
	await l3dsr("down");
});

test("taking the last real server of a pool out of use is done, with a warning", async () => {
	using stage = new Stage();
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	const two = await stage.l3dsr("drain", "a1", "a2");
	assert.deepEqual([two.exitCode, two.stderr], [0, ""]);
	const warning =
		"warning: no real server of pool front is left for new flows on this host: new connections fail\n";
	assert.equal((await stage.l3dsr("drain", "a3", "-n")).stderr, warning);
	const last = await stage.l3dsr("disable", "a3");
	assert.deepEqual([last.exitCode, last.stderr], [0, warning]);
	assert.equal((await stage.l3dsr("disable", "a1")).stderr, "");
	assert.equal((await stage.l3dsr("enable", "a1", "a2", "a3")).stderr, "");
	await l3dsr("down");
});

test("a disabled real server stays disabled when the director starts again", async () => {
	using stage = new Stage();
	const before = await stage.l3dsr("disable", "a2");
	assert.equal(
		before.stdout,
		"front/a2 is disabled on this host until l3dsr enable front/a2; the director does not run, l3dsr up will apply it\n",
	);
	assert.match((await stage.l3dsr("up")).stdout, /2 of 3 real servers in use/);
	await l3dsr("down");
	assert.match((await stage.l3dsr("up")).stdout, /2 of 3 real servers in use/);
	await l3dsr("down");
});

test("a host cannot revert a state in the fleet, and can forget a real server that the fleet has lost", async () => {
	using stage = new Stage();
	stage.write("fleet.yaml", FLEET.replace("weight: 2", "weight: 2, state: disabled"));
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	assert.deepEqual(await stage.l3dsr("enable", "a3"), {
		exitCode: 1,
		stdout: "front/a3 stays as it is: the fleet's table says state: disabled; change it there\n",
		stderr: "",
	});
	await stage.l3dsr("drain", "a3");
	assert.equal((await statesOf(stage))["a3"], "disabled: state: disabled in the fleet");
	stage.write("fleet.yaml", FLEET.replace(/.*a3.*\n/, ""));
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	assert.equal(
		(await stage.l3dsr("enable", "a3")).stdout,
		"front/a3 is removed from the file: it is not in the fleet\n",
	);
	assert.deepEqual(JSON.parse(readFileSync(join(stage.folder, "state.json"), "utf8")).reals, []);
	await l3dsr("down");
});

test("a pending change of the fleet is not applied by these commands, and nothing is stored", async () => {
	using stage = new Stage();
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	stage.write("fleet.yaml", FLEET.replace("weight: 2", "weight: 3"));
	const { exitCode, stderr } = await stage.l3dsr("drain", "a1");
	assert.equal(exitCode, 4);
	assert.match(
		stderr,
		/^error\[DIRECTOR_DRIFT\]: change only this state: [\s\S]*\nnote: web 192\.0\.2\.10 tcp\/80 has \d+ of 65537 slots assigned to other real servers\n[\s\S]*\nhint: nothing has been changed; run l3dsr up first/,
	);
	assert.throws(() => readFileSync(join(stage.folder, "state.json")), /ENOENT/);
	await l3dsr("down");
});

test("an unknown real server and an unreadable state file are refused", async () => {
	using stage = new Stage();
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	assert.deepEqual(await stage.l3dsr("drain", "front/a4"), {
		exitCode: 2,
		stdout: "",
		stderr:
			"error[REAL_NOT_FOUND]: find real server front/a4: no pool of the fleet has it\nhint: did you mean front/a1?\n",
	});
	for (const [text, why] of [
		["{", "it is not a JSON object"],
		['{ "schema": "other/1" }', 'its schema is "other/1", not l3dsr.held/1'],
		['{ "schema": "l3dsr.held/1" }', "it has no list of real servers"],
		[
			'{ "schema": "l3dsr.held/1", "reals": [{ "pool": "front" }] }',
			"its entry 1 is not a real server with a state",
		],
	] as const) {
		stage.write("state.json", text);
		for (const command of [["up"], ["drain", "a1"], ["status"], ["check"]] as const) {
			const [name, ...args] = command;
			const { exitCode, stderr } = await stage.l3dsr(name, ...args);
			assert.equal(exitCode, 1, name);
			assert.match(
				stderr,
				/^error\[STATE_READ\]: read .*state\.json, which records what is drained and disabled here: /,
			);
			assert.ok(stderr.includes(why), stderr);
		}
	}
	rmSync(join(stage.folder, "state.json"));
	mkdirSync(join(stage.folder, "state.json"));
	const { stderr } = await stage.l3dsr("status");
	assert.match(stderr, /: EISDIR \(is a directory\)\nhint: make .*state\.json a readable file, or remove it/);
	rmdirSync(join(stage.folder, "state.json"));
	await l3dsr("down");
});

test("if the state file cannot be written, nothing changes, and the error says what to do", async () => {
	using stage = new Stage();
	stage.write("l3dsr.yaml", CONFIG.replace("state.json", "/proc/1/state.json"));
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	const { exitCode, stdout, stderr } = await stage.l3dsr("drain", "a1");
	assert.equal(exitCode, 1);
	assert.equal(stdout, "");
	assert.match(
		stderr,
		/^error\[FILE_WRITE\]: write the states of real servers to \/proc\/1\/state\.json: .*\nhint: no state has changed; make \/proc\/1 writable, or name another file with state: below director:\n$/,
	);
	assert.equal((await statesOf(stage))["a1"], "up");
	await l3dsr("down");
});

test("a host that is not a director has nothing to drain", async () => {
	using stage = new Stage();
	stage.write("l3dsr.yaml", "services: []\n");
	const { exitCode, stderr } = await stage.l3dsr("drain", "a1");
	assert.equal(exitCode, 2);
	assert.match(
		stderr,
		/does not make this host a director\nhint: on a real server: run the command on its directors/,
	);
});
