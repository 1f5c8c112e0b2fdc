/** `l3dsr up`, `diff`, `status` and `down` on a director. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns, ip, waitFor } from "../../../../../test/support/netns.ts";
import { findAttachments, mapsOf } from "../../../src/balance/kernel/attachments.ts";
import { HEADER, MAP } from "../../../src/balance/tables/layout.ts";
import { l3dsr } from "../run-command.ts";
import { CONFIG, FLEET, Stage } from "./stage.ts";

enterNetns();
failOnLeaks();

const ATTACHED = `director: attach to dir0 (xdp)
director: direct web 192.0.2.10 tcp/80 to pool front, 3 of 3 real servers in use
director: direct web 2001:db8:a::10 tcp/80 to pool front, 3 of 3 real servers in use
`;

test("up attaches the director, a second up has nothing to do, and down detaches it", async () => {
	using stage = new Stage();
	assert.deepEqual(await stage.l3dsr("up", "-n"), { exitCode: 0, stdout: ATTACHED, stderr: "" });
	const before = await stage.l3dsr("status");
	assert.equal(before.exitCode, 1, "-n has changed nothing");
	assert.match(before.stdout, /^director: not running\ndrift: the director does not run\n/);
	assert.equal((await stage.l3dsr("diff")).exitCode, 4);

	const done = "done: this host directs 1 VIP\n";
	assert.deepEqual(await stage.l3dsr("up"), { exitCode: 0, stdout: ATTACHED + done, stderr: "" });
	const again = await stage.l3dsr("up");
	assert.equal(again.stdout, "nothing to do: this host directs 1 VIP\n");
	assert.equal((await stage.l3dsr("diff")).exitCode, 0);
	assert.deepEqual(await stage.l3dsr("status"), {
		exitCode: 0,
		stderr: "",
		stdout: `director: dir0 (xdp), forward: resolved, flows: transition
web 192.0.2.10 tcp/80: DSCP 7, pool front, 3 of 3 real servers take new flows
  real  address   state  weight  share  packets  bytes
  a1    10.1.0.1  up          1  25.0%        0      0
  a2    10.1.0.2  up          1  25.0%        0      0
  a3    10.1.0.3  up          2  50.0%        0      0
web 2001:db8:a::10 tcp/80: DSCP 7, pool front, 3 of 3 real servers take new flows
  real  address        state  weight  share  packets  bytes
  a1    2001:db8:1::1  up          1  25.0%        0      0
  a2    2001:db8:1::2  up          1  25.0%        0      0
  a3    2001:db8:1::3  up          2  50.0%        0      0
`,
	});

	assert.deepEqual(await l3dsr("down"), {
		exitCode: 0,
		stdout: "director: detach from dir0 (xdp)\ndone: no service is up\n",
		stderr: "",
	});
	assert.equal((await l3dsr("down")).stdout, "nothing to do: no service is up\n");
});

test("a changed fleet is applied slot by slot, -n shows the number of moved slots, and the drain ends in time", async () => {
	using stage = new Stage();
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	stage.write("fleet.yaml", FLEET.replace("weight: 2", "weight: 2, state: drain"));
	const planned = await stage.l3dsr("up", "-n");
	assert.match(
		planned.stdout,
		/^director: web 192\.0\.2\.10 tcp\/80: drain a3 \(10\.1\.0\.3\)\ndirector: web 192\.0\.2\.10 tcp\/80: 32769 of 65537 slots move \(50\.0%\), their flows stay for 15m\n/,
	);
	const drift = await stage.l3dsr("diff");
	assert.equal(drift.exitCode, 4);
	assert.match(drift.stdout, /^web 192\.0\.2\.10 tcp\/80 differs: a3 should be draining\n/);

	assert.equal((await stage.l3dsr("up")).stdout, `${planned.stdout}done: this host directs 1 VIP\n`);
	const during = await stage.l3dsr("status");
	assert.equal(during.exitCode, 0);
	assert.match(during.stdout, /in transition for \d+ s: 32769 slots remember the flows/);
	assert.match(
		during.stdout,
		/^ {2}a3 +10\.1\.0\.3 +drain +2 +0\.0% +0 +0\n {2}a3: state: drain in the fleet\n/m,
	);

	stage.write("fleet.yaml", FLEET.replace("weight: 2", "weight: 2, state: drain").replace("15m", "1s"));
	await waitFor("the end of the drain", async () => {
		const { stdout } = await stage.l3dsr("status");
		return stdout.includes("in transition") ? undefined : true;
	});
	assert.equal((await stage.l3dsr("up")).stdout, "nothing to do: this host directs 1 VIP\n");
	await l3dsr("down");
});

test("status does not count a real server of weight 0, or one that has left, among those that take new flows", async () => {
	using stage = new Stage();
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	stage.write(
		"fleet.yaml",
		FLEET.replace(/.*name: a1.*\n/, "").replace('"2001:db8:1::2"]', '"2001:db8:1::2"], weight: 0'),
	);
	const { stdout } = await stage.l3dsr("up");
	assert.match(stdout, /^director: web 192\.0\.2\.10 tcp\/80: remove 10\.1\.0\.1$/m);
	const status = await stage.l3dsr("status");
	assert.match(
		status.stdout,
		/^web 192\.0\.2\.10 tcp\/80: DSCP 7, pool front, 1 of 2 real servers take new flows$/m,
	);
	assert.match(status.stdout, /^ {2}a2: weight: 0 in the fleet$/m);
	await l3dsr("down");
});

test("up -n says that a change of affinity moves established flows", async () => {
	using stage = new Stage();
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	stage.write("fleet.yaml", FLEET.replace("pool: front }", "pool: front, affinity: source }"));
	assert.match(
		(await stage.l3dsr("up", "-n")).stdout,
		/^director: web 192\.0\.2\.10 tcp\/80: choose by source, which moves established flows$/m,
	);
	await l3dsr("down");
});

test("up detaches a director that is no longer in the configuration", async () => {
	using stage = new Stage();
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	stage.write("l3dsr.yaml", "services: []\n");
	assert.match(
		(await stage.l3dsr("status")).stdout,
		/^drift: the director runs, but the configuration has none$/m,
	);
	assert.equal(
		(await stage.l3dsr("up")).stdout,
		"director: detach from dir0 (xdp)\ndone: no service is up\n",
	);
	assert.equal((await stage.l3dsr("status")).stdout.includes("director"), false);
});

test("status without a configuration shows the running director, by addresses", async () => {
	using stage = new Stage();
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	const { stdout } = await l3dsr("status");
	assert.match(stdout, /^192\.0\.2\.10 tcp\/80: DSCP 7, 3 of 3 real servers take new flows$/m);
	assert.match(stdout, /^ {2}10\.1\.0\.1 +10\.1\.0\.1 +up/m);
	await l3dsr("down");
});

test("up refuses a director that another version has attached, and down detaches it", async () => {
	using stage = new Stage();
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	for (const attachment of findAttachments()) {
		using _attachment = attachment;
		for (const map of mapsOf(attachment)) {
			using _map = map;
			if (map.info.name !== MAP.vips) continue;
			using memory = map.mapMemory({ writable: true });
			memory.bytes[HEADER.offsetOf("schema")] = 99;
		}
	}
	const refused = await stage.l3dsr("up");
	assert.equal(refused.exitCode, 1);
	assert.match(
		refused.stderr,
		/^error\[DATAPATH_FOREIGN\]: read the tables of l3dsr_director at [^\n]+\nhint: another version of l3dsr attached it: run l3dsr down, then l3dsr up/,
	);
	assert.match(
		(await stage.l3dsr("status")).stdout,
		/^l3dsr up will refuse to read the tables of l3dsr_director/m,
	);
	assert.match((await l3dsr("down")).stdout, /^director: detach from dir0 \(xdp\)\n/);
	assert.equal((await stage.l3dsr("up")).exitCode, 0);
	await l3dsr("down");
});

test("up explains why the director cannot use its interface, and changes nothing", async () => {
	using stage = new Stage();
	const refused = async (config: string): Promise<string> => {
		stage.write("l3dsr.yaml", config);
		const { exitCode, stderr } = await stage.l3dsr("up");
		assert.notEqual(exitCode, 0);
		const { exitCode: ofDiff, stdout } = await stage.l3dsr("diff");
		assert.equal(ofDiff, 4);
		assert.match(stdout, /^l3dsr up will refuse to attach [^\n]+\n$/);
		return stderr;
	};
	assert.equal(
		await refused(CONFIG.replace("dir0", "dir1")),
		"error[CONFIG_BAD_VALUE]: attach the director to dir1: this host has no such interface\nhint: did you mean dir0?\n",
	);
	ip("link property add dev dir0 altname uplink0");
	assert.equal(
		await refused(CONFIG.replace("dir0", "[dir0, uplink0]")),
		"error[CONFIG_BAD_VALUE]: attach the director to uplink0: dir0 in director.interfaces is another name of the same interface\nhint: remove dir0 or uplink0\n",
	);
	assert.match(
		await refused(CONFIG.replace("open-checksums: accept", "open-checksums: refuse")),
		/^error\[KERNEL_FEATURE\]: attach .* dir0/,
	);
});
