import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { enterNetns, ip, run } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";
import { statusText } from "../../../src/cli/services/status-text.ts";
import { styleFor } from "../../../src/cli/style.ts";
import { rateOf, type ServiceRow } from "../../../src/inspect/status/service-rows.ts";
import { runCommand } from "../dsrctl/transcript.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-status-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
writeFileSync(
	config,
	`datapath: nft
services:
  - { vip: 192.0.2.10, name: web, dscp: 7, ports: [80, 443] }
  - { vip: "2001:db8::10", name: any6, dscp: 7 }
  - { vip: 192.0.2.12, name: plain }
`,
);
// Nothing leaves this namespace: packets to an own address arrive on lo, with the code they were sent with.
ip("link add real0 type veth peer name real1");
ip("addr add 10.0.0.2/24 dev real0");
ip("link set real0 up");

async function status(...argv: string[]): Promise<string> {
	return await statusWith(0, ...argv);
}

/** 0: every service is up; 1: one is not; 4: another difference. */
async function statusWith(expected: number, ...argv: string[]): Promise<string> {
	const { exitCode, stdout, stderr } = await l3dsr(...argv);
	assert.deepEqual({ exitCode, stderr }, { exitCode: expected, stderr: "" });
	return stdout;
}

test("bare l3dsr explains how to begin if nothing runs", async () => {
	const text = await status();
	assert.match(text, /^No rules are in place\./);
	assert.match(text, /l3dsr lab/);
	assert.match(text, /l3dsr up/);
});

test("status shows each service with its state and counters, in text and as JSON", async () => {
	assert.equal((await l3dsr("up", "-c", config)).exitCode, 0);
	run("ping", "-c", "2", "-i", "0.01", "-Q", "0x1c", "10.0.0.2");
	assert.equal(
		await status("status", "-c", config),
		`service  vip           selects                            state  packets  bytes
web      192.0.2.10    DSCP 7 (TOS 0x1c), tcp/udp 80,443  up           0      0
any6     2001:db8::10  DSCP 7 (TOS 0x1c)                  up           0      0
plain    192.0.2.12    the VIP itself                     up          --     --
datapath: nft (as configured)
`,
	);
	run("ping", "-6", "-c", "2", "-i", "0.01", "-Q", "0x1c", "2001:db8::10");
	const record = JSON.parse(await status("status", "--json", "-c", config));
	assert.equal(record.configuration, config);
	assert.deepEqual(record.drift, []);
	const [, any6] = record.services;
	assert.equal(any6.state, "up");
	// Request and answer both have the code, and both are for this host.
	assert.equal(any6.packets, 4);
	assert.equal(any6.bytes, 4 * 104);
});

test("status shows drift, and without a configuration the kernel's state", async () => {
	ip("addr del 192.0.2.12/32 dev lo");
	const text = await statusWith(1, "status", "-c", config);
	assert.match(text, /^plain .* down /m);
	assert.match(text, /^drift: 192\.0\.2\.12 on lo is not there$/m);
	const bare = await statusWith(1);
	assert.match(bare, /^web .* up .*\n {2}DSCP 7 \(TOS 0x1c\), tcp\/udp 80,443$/m);
	assert.match(bare, /^192\.0\.2\.12 .* down .*\n {2}the VIP itself$/m);
	assert.match(bare, /^no configuration: services as the kernel has them$/m);
	const other = join(folder, "other.yaml");
	writeFileSync(other, "datapath: nft\nservices: [{ vip: 192.0.2.10, name: new, dscp: 9 }]\n");
	const stray = await statusWith(1, "status", "-c", other);
	assert.match(stray, /^web .* not configured .*\n {2}DSCP 7 \(TOS 0x1c\), tcp\/udp 80,443$/m);
});

test("a service that dsrctl's rule serves is up, and the rule is listed as one that up would take over", async () => {
	const served = join(folder, "served.yaml");
	writeFileSync(served, "datapath: nft\nservices: [{ vip: 192.0.2.20, name: theirs, dscp: 20 }]\n");
	ip("addr add 192.0.2.20/32 dev lo label lo:9");
	await runCommand(
		"iptables-daddr -A PREROUTING -m dscp --dscp 20 -j DADDR --set-daddr 192.0.2.20".split(" "),
		{},
	);
	run("ping", "-c", "1", "-Q", String(20 << 2), "10.0.0.2");
	const text = await statusWith(4, "status", "-c", served);
	// The request; the answer comes from the VIP and also goes to 10.0.0.2.
	assert.match(text, /^theirs .* up +[1-9].*\n {2}DSCP 20 \(TOS 0x50\)$/m);
	assert.match(
		text,
		/^drift: a rule of dsrctl or by hand for 192\.0\.2\.20 does the work of a service: up takes it over$/m,
	);
	await runCommand(
		"iptables-daddr -D PREROUTING -m dscp --dscp 20 -j DADDR --set-daddr 192.0.2.20".split(" "),
		{},
	);
	ip("addr del 192.0.2.20/32 dev lo");
	assert.match(await statusWith(1, "status", "-c", served), /^theirs .* down /m);
});

test("services of dsrctl are one line of drift beside states that are up, and not an error of check", async () => {
	const included = join(folder, "dsr.conf");
	const file = join(folder, "included.yaml");
	writeFileSync(included, "192.0.2.21=21\n192.0.2.22=22\n192.0.2.23=23\n");
	writeFileSync(file, `include: ${included}\n`);
	try {
		assert.equal((await runCommand(["dsrctl", "-f", included, "start"], {})).exitCode, 0);
		const text = await statusWith(4, "status", "-c", file);
		assert.equal(text.match(/^192\.0\.2\.2[123] .* up /gm)?.length, 3, text);
		assert.deepEqual(
			text
				.split("\n")
				.filter((line) => /^drift: .*(dsrctl|missing|duplicates|192\.0\.2\.2[123] on lo)/.test(line)),
			[
				"drift: 3 rules of dsrctl or by hand for 192.0.2.21 and 2 more VIPs do the work of services: up takes them over",
			],
		);
		const { findings } = JSON.parse((await l3dsr("check", "-c", file, "--json")).stdout);
		assert.deepEqual(
			findings.filter((one: { severity: string }) => one.severity === "error"),
			[],
		);
	} finally {
		assert.equal((await runCommand(["dsrctl", "-f", included, "stop"], {})).exitCode, 0);
	}
});

test("status of a configuration that up would refuse shows the host's state, and the reason", async () => {
	const refused = join(folder, "refused.yaml");
	writeFileSync(refused, "datapath: ebpf\ninterfaces: eth7\nservices: [{ vip: 192.0.2.10, dscp: 7 }]\n");
	const text = await statusWith(1, "status", "-c", refused);
	assert.match(
		text,
		/^l3dsr up will refuse to put rule .* on datapath ebpf: there is no interface eth7 now$/m,
	);
	assert.doesNotMatch(text, /up repairs it/);
	assert.match(JSON.parse(await statusWith(1, "status", "--json", "-c", refused)).refused, /eth7/);
	const diff = await l3dsr("diff", "-c", refused);
	assert.deepEqual({ exitCode: diff.exitCode, stderr: diff.stderr }, { exitCode: 4, stderr: "" });
	assert.match(
		diff.stdout,
		/^l3dsr up will refuse to put rule .*: there is no interface eth7 now\nwithout that/m,
	);
	for (const verb of [["up"], ["up", "-n"]]) {
		const { exitCode, stdout, stderr } = await l3dsr(...verb, "-c", refused);
		assert.deepEqual({ exitCode, stdout }, { exitCode: 3, stdout: "" });
		assert.match(stderr, /^error\[KERNEL_FEATURE\]: put rule .*\nhint: set datapath: auto/);
	}
});

test("status --watch prints rates until it is stopped", async () => {
	const child = spawn(
		process.execPath,
		[
			...FROM_SOURCE,
			"packages/l3dsr/test/cli/l3dsr-process.ts",
			"status",
			"-c",
			config,
			"--watch",
			"0.05",
			"--json",
		],
		{ stdio: ["ignore", "pipe", "inherit"] },
	);
	let text = "";
	for await (const chunk of child.stdout) {
		text += String(chunk);
		if (text.split("\n").length > 3) break;
		run("ping", "-6", "-c", "1", "-Q", "0x1c", "2001:db8::10");
	}
	child.kill("SIGTERM");
	const [first, ...later] = text
		.split("\n")
		.slice(0, 3)
		.map((line) => JSON.parse(line));
	assert.equal(first.services[1].rate, null);
	assert(
		later.some(({ services }) => services[1].rate.packets > 0),
		text,
	);
});

function row(packets: bigint | null): ServiceRow {
	return {
		name: "web",
		type: "l3dsr",
		vip: "192.0.2.10",
		selects: "DSCP 7",
		selection: [{ dscp: 7 }],
		state: "up",
		loopback: "lo:1",
		rules: { present: 1, wanted: 1 },
		datapaths: ["ebpf"],
		packets,
		bytes: packets === null ? null : packets * 1500n,
	};
}

test("a rate is the difference divided by the time, and absent after a reset or without a counter", () => {
	assert.deepEqual(rateOf(row(3000n), [row(1000n)], 500), { packets: 4000, bytes: 6_000_000 });
	assert.equal(rateOf(row(1n), [row(1000n)], 500), null);
	assert.equal(rateOf(row(null), [row(null)], 500), null);
	assert.equal(rateOf(row(1n), [], 500), null);
	const record = {
		configuration: null,
		datapath: { running: [], hooks: [], why: "" },
		drift: [],
		warnings: [],
		keeping: { agent: null, hold: null },
		otherRules: 0,
	};
	const rated = { ...row(3000n), rate: { packets: 4000, bytes: 6_000_000 } };
	assert.match(
		statusText({ ...record, services: [rated] }, styleFor({}, {}), true),
		/packets\/s +bit\/s\n.* 4\.00k +48\.0M\n/,
	);
});

test("status fits a terminal's width, however long names, addresses and selections are", () => {
	const row: ServiceRow = {
		name: "web",
		type: "l3dsr",
		vip: "2001:db8:1111:2222:3333:4444:5555:6666",
		selects: "DSCP 7 (TOS 0x1c), tcp/udp 80,443,8000-8099, on eth0, to 10.0.0.0/24",
		selection: [],
		state: "up",
		loopback: "lo",
		rules: { present: 1, wanted: 1 },
		datapaths: ["nft"],
		packets: 1234567890n,
		bytes: 1234567890123n,
	};
	for (const name of ["web", "a".repeat(40)]) {
		for (const watching of [false, true]) {
			const record = {
				configuration: "f",
				datapath: { running: [], hooks: [], why: "auto" },
				services: [
					{ ...row, name },
					{ ...row, selects: Array(40).fill("443").join(",") },
				],
				drift: [],
				warnings: [],
				keeping: { agent: null, hold: null },
				otherRules: 0,
			};
			const text = statusText(record, styleFor({}, {}), watching);
			for (const line of text.split("\n")) assert.ok(line.length <= 80, line);
			assert.match(text, /2001:db8:1111:2222:3333:4444:5555:6666/);
			assert.match(text, /on eth0, to 10\.0\.0\.0\/24/);
		}
	}
});

test("a service that another one duplicates is up by the rules of the other one", async () => {
	const twins = join(folder, "twins.yaml");
	const one = (name: string) => `{ name: ${name}, vip: 192.0.2.30, dscp: 9, protocol: tcp, ports: 443 }`;
	writeFileSync(twins, `datapath: nft\nservices: [${one("old")}, ${one("new")}]\n`);
	assert.equal((await l3dsr("up", "-c", twins)).exitCode, 0);
	const record = JSON.parse(await status("status", "--json", "-c", twins));
	const states = record.services.map(({ name, state }: ServiceRow) => [name, state]);
	assert.deepEqual(states, [
		["old", "up"],
		["new", "up"],
	]);
	// A rule that no configured service has does not count: it is about to go.
	writeFileSync(twins, `datapath: nft\nservices: [${one("new")}]\n`);
	const after = JSON.parse(await statusWith(1, "status", "--json", "-c", twins));
	assert.equal(after.services[0].state, "partial");
	assert.equal((await l3dsr("up", "-c", twins)).exitCode, 0);
	await status("status", "-c", twins);
	assert.equal((await l3dsr("down")).exitCode, 0);
});
