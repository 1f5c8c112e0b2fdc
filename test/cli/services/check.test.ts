import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { enterNetns, ip, run } from "../../netns.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-check-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");

test("check sees on a real host what is wrong, and nothing once it is right", async () => {
	ip("link add eth0 type veth peer name peer0");
	ip("addr add 10.0.0.2/24 dev eth0");
	ip("link set eth0 up");
	ip("link set peer0 up");
	ip("route add default via 10.0.0.1 dev eth0");
	ip("addr add 10.0.0.100/32 dev lo label lo:1");
	run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0");
	run("iptables", "-t", "raw", "-A", "PREROUTING", "-p", "icmp", "-j", "ACCEPT");
	run(
		"nft",
		"add table ip q; add chain ip q c { type filter hook prerouting priority -310; }; add rule ip q c ip saddr 203.0.113.1 ip dscp set 7",
	);
	writeFileSync(
		config,
		"datapath: nft\nservices:\n  - { vip: 10.0.0.100, name: web, dscp: 7, protocol: tcp, ports: 80 }\n",
	);

	const wrong = await l3dsr("check", "--json", "-c", config);
	assert.equal(wrong.exitCode, 1, wrong.stderr);
	const { findings } = JSON.parse(wrong.stdout);
	assert.deepEqual(
		findings.map(({ check, severity }: { check: string; severity: string }) => `${severity} ${check}`),
		["error arp", "error dscp-remarked", "warning dscp-class", "warning listeners"],
	);

	run("nft", "delete table ip q");
	assert.equal((await l3dsr("up", "-c", config)).exitCode, 0);
	const server = createServer().listen(80, "10.0.0.100");
	const right = await l3dsr("check", "-c", config);
	server.close();
	assert.deepEqual(right, {
		exitCode: 0,
		stdout: `${config}: 1 service; this host is fit for them\n`,
		stderr: "",
	});
});
