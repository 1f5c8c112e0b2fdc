/** Common behaviour of up, down, status, diff and check: JSON, exit codes, and refusals. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { commandPath } from "../../../../../test/support/commands.ts";
import { enterNetns, ip, run } from "../../../../../test/support/netns.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-verbs-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const broken = join(folder, "broken.yaml");
writeFileSync(config, "datapath: nft\nservices: [{ vip: 192.0.2.10, name: web, dscp: 7 }]\n");
writeFileSync(broken, "services: [{ vip: 192.0.2.10, dscp: 64 }]\n");

// Without a route back to clients, check would report that.
ip("link add eth0 type veth peer name peer0");
ip("addr add 10.0.0.2/24 dev eth0");
for (const name of ["eth0", "peer0"]) ip(`link set ${name} up`);
ip("route add default via 10.0.0.1");

beforeEach(async () => {
	assert.equal((await l3dsr("down")).exitCode, 0);
});

const VERBS: readonly (readonly string[])[] = [
	["up", "-n", "-c", config],
	["up", "-c", config],
	["status", "-c", config],
	["diff", "-c", config],
	["check", "-c", config],
	["down", "-n"],
	["down"],
	[],
];

test("every verb, and bare l3dsr, prints one JSON record with --json, and nothing else", async () => {
	for (const verb of VERBS) {
		const { exitCode, stdout, stderr } = await l3dsr(...verb, "--json");
		assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" }, verb.join(" "));
		assert.equal(typeof JSON.parse(stdout), "object", verb.join(" "));
	}
});

test("text and JSON of a plan come from one record", async () => {
	const { stdout } = await l3dsr("up", "-n", "--json", "-c", config);
	const { steps, configuration, dryRun } = JSON.parse(stdout);
	assert.deepEqual({ configuration, dryRun }, { configuration: config, dryRun: true });
	const lines = steps.flatMap(({ commands }: { commands: string[] }) => commands);
	assert.equal((await l3dsr("up", "-n", "-c", config)).stdout, `${lines.join("\n")}\n`);
	assert.deepEqual(
		steps.map(({ kind, subjects }: { kind: string; subjects: string[] }) => `${kind} ${subjects}`),
		["guard 192.0.2.10", "add-address 192.0.2.10", "rules web"],
	);
});

test("exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 not supported here, 4 drift", async () => {
	const code = async (...argv: string[]) => (await l3dsr(...argv)).exitCode;
	assert.equal(await code("diff", "-c", config), 4);
	assert.equal(await code("up", "-c", config), 0);
	assert.equal(await code("diff", "-c", config), 0);
	ip("addr del 192.0.2.10/32 dev lo");
	assert.equal(await code("diff", "-c", config), 4);
	assert.equal(await code("status", "-c", config), 1);
	assert.equal(await code("check", "-c", config), 1);
	for (const verb of ["up", "status", "diff", "check"]) {
		assert.equal(await code(verb, "-c", broken), 2, verb);
		assert.equal(await code(verb, "-c", join(folder, "none.yaml")), 2, verb);
		assert.equal(await code(verb, "-c", config, "more"), 2, verb);
	}
	assert.equal(await code("up", "-c", config, "-w", "soon"), 2);
	assert.equal(await code("status", "--watch", "0"), 2);
});

test("a refusal is JSON on stderr with --json, with the same code and place", async () => {
	for (const verb of ["up", "status", "diff", "check"]) {
		const { exitCode, stdout, stderr } = await l3dsr(verb, "--json", "-c", broken);
		assert.deepEqual({ exitCode, stdout }, { exitCode: 2, stdout: "" });
		const [error, ...others] = JSON.parse(stderr).errors;
		assert.deepEqual(others, []);
		assert.equal(error.code, "CONFIG_DSCP_RANGE");
		assert.deepEqual([error.position.line, error.position.column, error.position.length], [1, 37, 2]);
	}
});

/** In its own mounts, like a host on which a program is not installed or a folder is not writable. */
function withMounts(mounts: string, ...argv: string[]) {
	const script = `${mounts}; exec "$0" "$@"`;
	const { status, stdout, stderr } = spawnSync(
		"unshare",
		["--mount", "sh", "-c", script, commandPath("l3dsr"), ...argv],
		{ encoding: "utf8" },
	);
	return { status, stdout, stderr };
}

test("up, status, diff, check and down work in the same way without nft, ip and tc on the machine", () => {
	// Every place where they would be looked for.
	const hide = `for program in nft ip tc; do for folder in /usr/sbin /usr/bin /sbin /bin; do
		! [ -x $folder/$program ] || mount --bind /dev/null $folder/$program; done; done`;
	for (const argv of [
		["up", "-c", config],
		["status"],
		["diff", "-c", config],
		["check", "-c", config],
		["down"],
	]) {
		const { status, stderr } = withMounts(hide, ...argv);
		assert.deepEqual({ argv, status, stderr }, { argv, status: 0, stderr: "" });
	}
	assert.equal(ip("-o addr show to 192.0.2.0/24"), "");
	assert.doesNotMatch(run("nft", "list", "ruleset"), /l3dsr/);
});

test("if the lock cannot be written, up reports that and changes nothing, and status works", () => {
	const readOnly = "mount --bind /run /run; mount -o remount,bind,ro /run";
	// Left by an agent that has ended.
	const agent = `/run/l3dsr.${run("stat", "-Lc", "%i", "/proc/self/ns/net").trim()}.agent`;
	writeFileSync(agent, "{}\n");
	const looked = withMounts(readOnly, "status");
	rmSync(agent);
	assert.deepEqual([looked.status, looked.stderr], [0, ""]);
	const { status, stdout, stderr } = withMounts(readOnly, "up", "-c", config);
	assert.deepEqual({ status, stdout }, { status: 1, stdout: "" });
	assert.match(
		stderr,
		/^error\[KERNEL_SYSCALL\]: open lock file \/run\/l3dsr\.[0-9]+\.lock: EROFS \(read-only file system\)\nhint: \/run must exist and be writable\n$/,
	);
	assert.equal(ip("-o addr show to 192.0.2.0/24"), "");
});

test("without capabilities, up, down and status name the one that they need", () => {
	for (const argv of [["up", "-c", config], ["down"], ["status", "-c", config]]) {
		const command = ["--bounding-set", "-all", commandPath("l3dsr"), ...argv];
		const { status, stderr } = spawnSync("setpriv", command, { encoding: "utf8" });
		assert.equal(status, 1, stderr);
		assert.match(
			stderr,
			/^error\[KERNEL_PERMISSION\]: l3dsr \w+: this process lacks CAP_NET_ADMIN, .*\nhint: run it as root, or .*\n$/,
			argv.join(" "),
		);
	}
});

test("up and down wait for the lock as long as -w says, and name its holder; status and plans need no lock", async () => {
	const inode = run("stat", "-Lc", "%i", "/proc/self/ns/net").trim();
	const holder = spawn("flock", [`/run/l3dsr.${inode}.lock`, "sh", "-c", "echo held; cat"], {
		stdio: ["pipe", "pipe", "inherit"],
	});
	await once(holder.stdout, "data");
	for (const verb of [["up", "-c", config], ["down"]]) {
		const { exitCode, stderr } = await l3dsr(...verb, "-w", "0.05");
		assert.equal(exitCode, 1);
		assert.match(
			stderr,
			/^error\[LOCK_HELD\]: lock \S+: held by process [0-9]+ \(\w+\)\nhint: try again when it is done, or wait for it \(-w\)\n$/,
		);
	}
	assert.equal((await l3dsr("up", "-n", "-c", config)).exitCode, 0);
	assert.equal((await l3dsr("status", "-c", config)).exitCode, 1);
	const waiting = l3dsr("up", "-c", config, "-w", "10");
	holder.stdin.end();
	assert.match((await waiting).stdout, /^ip address add 192\.0\.2\.10/m);
});
