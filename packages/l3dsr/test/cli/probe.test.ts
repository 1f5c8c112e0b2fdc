import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { AS_NOBODY, commandPath } from "../../../../test/support/commands.ts";
import { enterNetns, ip } from "../../../../test/support/netns.ts";
import { assertRecord } from "../../../../test/support/records.ts";
import { REAL, type Server, startServer, VIPS } from "../probe/stage.ts";
import { l3dsr, type Outcome } from "./run-command.ts";

enterNetns();

const bin = commandPath("l3dsr");
const [vip, otherVip] = VIPS.ipv4;
const directory = mkdtempSync(join(tmpdir(), "l3dsr-probe-"));
let server: Server;
before(async () => {
	server = await startServer();
	ip(`route add default via ${REAL.ipv4}`);
});
after(() => {
	server?.[Symbol.dispose]();
	rmSync(directory, { recursive: true });
});

const probe = (...argv: string[]) => l3dsr("probe", REAL.ipv4, "--timeout", "1", ...argv);
const withoutTimes = (text: string) =>
	text.replace(/[\d./]+ ms/g, "N ms").replace(/time=\d\.\d{6}s/, "time=Ns");

function said({ exitCode, stdout, stderr }: Outcome): [number, string] {
	return [exitCode, withoutTimes(stdout + stderr)];
}

describe("l3dsr probe", () => {
	it("prints who answered, and no more if it was the VIP", async () => {
		assert.deepEqual(said(await probe("--dscp", "1", "--port", "80", "--vip", vip)), [
			0,
			`10.9.0.2 tcp/80 with DSCP 1 (TOS 0x04): answered by the VIP ${vip} in N ms\n`,
		]);
		assert.deepEqual(said(await probe("--dscp", "1", "--port", "7", "--udp", "--count", "3")), [
			0,
			`10.9.0.2 udp/7 with DSCP 1 (TOS 0x04): 3 of 3, answered by ${vip} in N ms (min/avg/max)\n`,
		]);
	});

	it("explains what is wrong, with exit code 1", async () => {
		assert.deepEqual(said(await probe("--dscp", "4", "--port", "80", "--vip", vip)), [
			1,
			[
				`10.9.0.2 tcp/80 with DSCP 4 (TOS 0x10): answered by the real address itself, not by ${vip}`,
				`found: DSCP 1 (TOS 0x04) is answered by the VIP ${vip}`,
				`found: DSCP 2 (TOS 0x08) is answered by ${otherVip}`,
				"likely: TOS and DSCP are confused: 4 is the TOS byte of DSCP 1, and one side uses one instead of the other",
				"next: on 10.9.0.2: l3dsr show; the rule says --dscp 1, this probe (and the director?) DSCP 4 (TOS 0x10)",
				"",
			].join("\n"),
		]);
	});

	it("prints the same record as JSON", async () => {
		const { exitCode, stdout } = await probe("--dscp", "2", "--icmp", "--vip", vip, "--json");
		const { probed, failed, targets } = assertRecord("probe", stdout);
		assert.deepEqual([exitCode, probed, failed], [1, 1, 1]);
		const { found: _, causes: __, next: ___, ...target } = targets[0] ?? {};
		assert.deepEqual(target, {
			real: REAL.ipv4,
			vip,
			dscp: 2,
			tos: 8,
			protocol: "icmp",
			ok: false,
			outcome: "other-address",
			answeredBy: otherVip,
			connected: false,
			asked: 1,
			answered: 0,
		});
	});

	it("probes a file of targets and prints a line for each", async () => {
		const path = join(directory, "targets");
		writeFileSync(
			path,
			`${REAL.ipv4} ${vip} 1 80\n${REAL.ipv6} ${VIPS.ipv6[1]} 2 7/udp\n${REAL.ipv4} ${vip} 2 icmp\n`,
		);
		const { exitCode, stdout } = await l3dsr("probe", "--file", path);
		assert.equal(exitCode, 1);
		assert.deepEqual(
			stdout
				.trimEnd()
				.split("\n")
				.map((line) => withoutTimes(line).split(/ {2,}/)),
			[
				["REAL", "VIP", "DSCP", "TOS", "SERVICE", "RESULT"],
				[REAL.ipv4, vip, "1", "0x04", "tcp/80", "ok N ms"],
				[REAL.ipv6, VIPS.ipv6[1], "2", "0x08", "udp/7", "ok N ms"],
				[REAL.ipv4, vip, "2", "0x08", "icmp", `answered by ${otherVip}, not by ${vip}`],
				["3 probed, 1 failed"],
			],
		);
	});

	it("works as a monitoring plugin: one line, data after a bar, its exit codes", async () => {
		assert.deepEqual(said(await probe("--dscp", "1", "--port", "80", "--vip", vip, "--nagios")), [
			0,
			`L3DSR OK - 10.9.0.2 tcp/80 with DSCP 1 (TOS 0x04): answered by the VIP ${vip} in N ms | time=Ns;;;0 answered=1;;;0;1 failed=0;;;0;1\n`,
		]);
		assert.deepEqual(said(await probe("--dscp", "3", "--port", "80", "--vip", vip, "--nagios")), [
			2,
			"L3DSR CRITICAL - 10.9.0.2 tcp/80 with DSCP 3 (TOS 0x0c): no answer | time=U;;;0 answered=0;;;0;1 failed=1;;;0;1\n",
		]);
		const unknown = await l3dsr("probe", "--nagios", "--file", "/nonexistent");
		assert.deepEqual(
			[unknown.exitCode, unknown.stdout],
			[3, "L3DSR UNKNOWN - read targets from /nonexistent: ENOENT (no such file or directory)\n"],
		);
	});

	it("probes by UDP without root, and says what TCP needs", () => {
		const asNobody = (...argv: string[]) =>
			spawnSync(AS_NOBODY[0], [...AS_NOBODY.slice(1), bin, "probe", REAL.ipv4, ...argv], {
				encoding: "utf8",
			});
		const udp = asNobody("--dscp", "1", "--port", "7", "--udp", "--vip", vip);
		assert.deepEqual(
			[udp.status, withoutTimes(udp.stdout + udp.stderr)],
			[0, `10.9.0.2 udp/7 with DSCP 1 (TOS 0x04): answered by the VIP ${vip} in N ms\n`],
		);
		const tcp = asNobody("--dscp", "1", "--port", "80");
		assert.equal(tcp.status, 1);
		assert.match(tcp.stderr, /^error\[KERNEL_PERMISSION\]: probe: .*\nhint: run it as root, or use --udp/);
	});

	it("refuses a command line without a target", async () => {
		for (const [argv, message] of [
			[[], "the address of the real server is missing"],
			[["10.9.0.2", "--port", "80"], "--dscp is missing: the code that stands for the VIP"],
			[["10.9.0.2", "--dscp", "1"], "--port is missing: the service's port"],
			[["10.9.0.2", "--dscp", "1", "--icmp", "--port", "1"], "an echo request has no --port"],
			[["10.9.0.2", "--dscp", "1", "--icmp", "--udp"], "--udp and --icmp exclude each other"],
			[["--file", "x", "--dscp", "1"], "--file names the targets: no --dscp beside it"],
			[["10.9.0.2", "--file", "x"], "--file names the targets: no address beside it"],
			[
				["10.9.0.2", "--dscp", "1", "--port", "80", "--count", "0"],
				'--count: "0" is not a number from 1 to 10000',
			],
			[
				["10.9.0.2", "--dscp", "1", "--port", "80", "--timeout", "x"],
				'--timeout: "x" is not a number of seconds, expected more than 0 and at most 60',
			],
		] as const) {
			const { exitCode, stderr } = await l3dsr("probe", ...argv);
			assert.deepEqual([exitCode, stderr.split("\n")[0]], [2, `error[USAGE]: ${message}`]);
		}
	});
});
