/** Each fault of the original, and that it does not exist here. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { commandPath } from "../../../../../test/support/commands.ts";
import { enterNetns, run } from "../../../../../test/support/netns.ts";
import { makeEtcPrivate } from "./private-etc.ts";
import { cleanHost, runCommand } from "./transcript.ts";

enterNetns();
makeEtcPrivate();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-faults-"));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, "c.conf");

beforeEach(cleanHost);

async function dsrctl(...argv: readonly string[]): Promise<string> {
	const { exitCode, stdout, stderr } = await runCommand(["dsrctl", "-f", file, ...argv]);
	assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" }, stdout);
	return stdout;
}

/** Rules and addresses of `lo`, as the kernel prints them. */
function host(): string {
	return run("nft", "-s", "list", "ruleset") + run("ip", "-o", "address", "show", "dev", "lo");
}

/** One start makes it complete, a second start changes nothing, and a stop leaves no trace. */
async function assertLife(services: number): Promise<void> {
	const before = host();
	assert.equal(await dsrctl("start"), "");
	const started = host();
	assert.equal(await dsrctl("check"), "All DSRs started.\n");
	const states = (await dsrctl("-x", "status"))
		.trim()
		.split("\n")
		.map((row) => row.split(/ +/)[1]);
	assert.deepEqual(
		states,
		Array.from({ length: services }, () => "started"),
	);
	assert.equal(await dsrctl("start"), "");
	assert.equal(host(), started);
	assert.equal(await dsrctl("stop"), "");
	assert.equal(host(), before);
}

test("an IPv6 VIP whose text ends in ::1 is started, unchanged by a second start, and stopped", async () => {
	writeFileSync(file, "2001:db8::1=1\n2001:db8:0:7::1=2\nfd00::1\n");
	await assertLife(3);
});

test("an octal code is its numeric value: one rule, however often it is started, and none after stop", async () => {
	writeFileSync(file, "192.0.2.10=014\n2001:db8::10=014\n192.0.2.11=0x0d\n192.0.2.12=010\n");
	await assertLife(4);
	await dsrctl("start");
	assert.match(run("nft", "list", "ruleset"), /--dscp 0x0c .*192\.0\.2\.10/);
});

test("IPv6 rules are recognised with any iptables on this host, even 1.8.9, which prints -- for opt", async () => {
	writeFileSync(file, "192.0.2.10=28\n2001:db8::aa1=29\n2001:db8::aa2=30\n");
	assert.match(run("ip6tables", "--version"), /^ip6tables v1\.8\./);
	run("ip6tables", "-t", "raw", "-A", "PREROUTING", "-p", "tcp", "-j", "ACCEPT");
	await assertLife(3);
});

/** The number of programs that a command executes, without itself. */
function programsOf(...argv: readonly string[]): number {
	const log = join(folder, "exec.log");
	run(
		"strace",
		"-f",
		"-qq",
		"-e",
		"trace=execve",
		"-e",
		"signal=none",
		"-o",
		log,
		commandPath("dsrctl"),
		"-f",
		file,
		...argv,
	);
	return (
		readFileSync(log, "utf8")
			.split("\n")
			.filter((line) => / execve\(.* = 0$/.test(line)).length - 1
	);
}

test("60 services of each family take as many programs as one of each: one batch of each kind", () => {
	const write = (count: number) => {
		const numbers = Array.from({ length: count }, (_, n) => n + 1);
		writeFileSync(file, numbers.map((n) => `192.0.2.${n}=${n}\n2001:db8::${n}=${n}\n`).join(""));
	};
	const counts = [1, 60].map((count) => {
		write(count);
		return [programsOf("start"), programsOf("start"), programsOf("status"), programsOf("stop")];
	});
	assert.deepEqual(counts[1], counts[0]);
	const [start = 0] = counts[1] ?? [];
	// The programs that list and change rules and addresses, before and after; the original: 494.
	assert(start > 0 && start <= 12, `${start} programs`);
});
