/** `datapath:` of /etc/l3dsr/l3dsr.yaml applies to iptables-daddr and dsrctl as it does to l3dsr. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { enterNetns, ip } from "../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../test/support/node.ts";
import { openDatapath } from "../../src/rewrite/host-datapath.ts";
import { resolveSettings } from "../../src/sources/settings.ts";
import { makeEtcPrivate } from "./dsrctl/private-etc.ts";

enterNetns();
makeEtcPrivate();
ip("link add v0 type veth peer name v1");
mkdirSync("/etc/l3dsr", { recursive: true });
mkdirSync("/etc/dsr.d", { recursive: true });
const CONFIG = "/etc/l3dsr/l3dsr.yaml";
const RULE = ["-t", "raw", "-A", "PREROUTING", "-i", "v0", "-j", "DADDR", "--set-daddr", "192.0.2.80"];

beforeEach(() => {
	rmSync(CONFIG, { force: true });
	assert.equal(command("iptables-daddr", "-t", "raw", "-F").status, 0);
});

function command(name: string, ...argv: readonly string[]): { status: number | null; stderr: string } {
	const file = name === "dsrctl" ? "dsrctl/program.ts" : "iptables-process.ts";
	const program = fileURLToPath(new URL(file, import.meta.url));
	const named = name === "dsrctl" ? argv : [name, ...argv];
	return spawnSync(process.execPath, [...FROM_SOURCE, program, ...named], { encoding: "utf8", env: {} });
}

async function datapaths(): Promise<string[]> {
	const { rules } = await openDatapath(resolveSettings({}, {})).observe();
	return rules.map(({ datapath }) => datapath);
}

for (const [text, expected] of [
	[undefined, "ebpf"],
	["services: []\n", "ebpf"],
	["datapath: nft\nservices: []\n", "nft"],
] as const) {
	test(`iptables-daddr puts a rule for one interface on ${expected} with ${JSON.stringify(text)}`, async () => {
		if (text !== undefined) writeFileSync(CONFIG, text);
		assert.deepEqual(command("iptables-daddr", ...RULE).stderr, "");
		assert.deepEqual(await datapaths(), [expected]);
	});
}

test("an invalid setting changes nothing, and the error names its place", async () => {
	writeFileSync(CONFIG, "datapath: bpf\n");
	for (const [name, argv] of [
		["iptables-daddr", RULE],
		["dsrctl", ["start"]],
	] as const) {
		const { status, stderr } = command(name, ...argv);
		assert.notEqual(status, 0);
		assert.match(
			stderr,
			/\/etc\/l3dsr\/l3dsr\.yaml:1:11: .*"bpf" is not a datapath, expected auto, ebpf or nft/,
		);
	}
	assert.deepEqual(await datapaths(), []);
});

test("dsrctl refuses to start if its rules cannot run on the file's datapath", async () => {
	writeFileSync(CONFIG, "datapath: ebpf\n");
	writeFileSync("/etc/dsr.d/a.conf", "192.0.2.10=10\n");
	const { status, stderr } = command("dsrctl", "start");
	assert.equal(status, 1, stderr);
	assert.match(stderr, /ebpf/);
	assert.deepEqual(await datapaths(), []);
});
