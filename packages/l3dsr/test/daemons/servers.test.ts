/**
 * Servers of Debian behind VIPs are started, reloaded and stopped: clients get answers from the VIP, or the
 * probe explains why not.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { run, waitFor } from "../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../test/support/node.ts";
import { l3dsr } from "../cli/run-command.ts";
import { LoadingClient } from "../cli/services/load.ts";
import { Daemon, enterDaemonNetns, succeeds, unitCommand } from "./daemon.ts";

enterDaemonNetns();

const L3DSR = fileURLToPath(new URL("../cli/l3dsr-process.ts", import.meta.url));
const VIP = "192.0.2.10";
const client = new LoadingClient([{ vip: VIP, dscp: 7 }]);
const folder = mkdtempSync(join(tmpdir(), "l3dsr-servers-"));
const config = join(folder, "l3dsr.yaml");
writeFileSync(config, `services: [{ vip: ${VIP}, name: server, dscp: 7 }]\n`);

before(async () => assert.equal((await l3dsr("up", "-c", config)).exitCode, 0));
after(async () => {
	assert.equal((await l3dsr("down")).exitCode, 0);
	client[Symbol.dispose]();
	rmSync(folder, { recursive: true });
});

const inClient = ["ip", "netns", "exec", client.netns.name] as const;

/** Whether a socket listens in this namespace, according to ss(8). */
function listens(protocol: "tcp" | "udp", address: string, port: number): boolean {
	return run("ss", "-Hln", protocol === "tcp" ? "-t" : "-u", `sport = :${port}`).includes(
		`${address}:${port}`,
	);
}

/** A client's DNS query to the VIP, until it is answered or a second has passed. */
const ASK = `
	const { Resolver } = require("node:dns/promises");
	const resolver = new Resolver({ timeout: 1000, tries: 1 });
	resolver.setServers([process.argv[1]]);
	resolver.resolve4("name.example").then(([address]) => console.log(address), ({ code }) => console.log(code));`;
const asks = () => run(...inClient, process.execPath, "-e", ASK, VIP).trim();

async function probe(...options: string[]) {
	const command = [
		...FROM_SOURCE,
		L3DSR,
		"probe",
		"10.0.0.2",
		"--dscp",
		"7",
		"--vip",
		VIP,
		"--json",
		...options,
	];
	const { stdout } = spawnSync(inClient[0], [...inClient.slice(1), process.execPath, ...command], {
		encoding: "utf8",
	});
	const [report] = JSON.parse(stdout).targets;
	return report;
}

function unboundWith(interfaces: string): void {
	writeFileSync(
		join(folder, "unbound.conf"),
		`server:
	${interfaces}
	access-control: 10.0.0.0/24 allow
	username: ""
	chroot: ""
	directory: "${folder}"
	pidfile: "${folder}/unbound.pid"
	use-syslog: no
	local-zone: "example." static
	local-data: "name.example. IN A 198.51.100.1"
remote-control:
	control-enable: no
`,
	);
}

test("unbound on the VIP answers clients, even after a reload; on 0.0.0.0 it does not, and the probe names IP_PKTINFO", async () => {
	const [program] = unitCommand("unbound.service", "ExecStart");
	const start = (address: string) =>
		Daemon.start([program, "-d", "-p", "-c", join(folder, "unbound.conf")], () =>
			listens("udp", address, 53),
		);
	unboundWith(`interface: ${VIP}`);
	{
		await using unbound = await start(VIP);
		assert.equal(asks(), "198.51.100.1");
		unbound.signal("SIGHUP");
		await waitFor("answer after the reload", () => asks() === "198.51.100.1");
		assert.equal((await probe("--udp", "--port", "53")).ok, true);
		await unbound.stop();
	}
	assert.notEqual(asks(), "198.51.100.1");
	unboundWith("interface: 0.0.0.0");
	await using wildcard = await start("0.0.0.0");
	assert.notEqual(asks(), "198.51.100.1", "the answer comes from the real address");
	const report = await probe("--udp", "--port", "53");
	assert.deepEqual([report.ok, report.outcome], [false, "real-address"]);
	assert.deepEqual(report.found, [`an echo with the same mark is answered by ${VIP}: packets are rewritten`]);
	assert.match(report.causes.join("\n"), /\(IP_PKTINFO\)$/);
	await wildcard.stop();
	// The remedy in its manual.
	unboundWith("interface: 0.0.0.0\n\tinterface-automatic: yes");
	await using _automatic = await start("0.0.0.0");
	assert.equal(asks(), "198.51.100.1");
});

test("iperf3 on the VIP answers by TCP and by UDP; on 0.0.0.0 by TCP only", async () => {
	const asked = (...options: string[]) =>
		succeeds("timeout", "5", ...inClient, "iperf3", "-c", VIP, "-n", "64K", ...options);
	{
		await using server = await Daemon.start(["iperf3", "-s", "-B", VIP], () => listens("tcp", VIP, 5201));
		assert.equal(asked(), true);
		assert.equal(asked("-u"), true);
		await server.stop();
	}
	assert.equal(asked(), false);
	await using _everywhere = await Daemon.start(["iperf3", "-s"], () => listens("tcp", "*", 5201));
	assert.equal(asked(), true);
	assert.equal(asked("-u"), false);
});
