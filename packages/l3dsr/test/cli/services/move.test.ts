import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { enterNetns, ip, Netns, run, waitFor } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";
import { systemHost } from "../../../src/cli/dsrctl/host.ts";
import { runDsrctl } from "../../../src/cli/dsrctl.ts";
import { SYSTEM_HOST } from "../../../src/cli/services/host.ts";
import { up } from "../../../src/cli/up.ts";
import { captureContext } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-move-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const dsrConfFolder = join(folder, "dsr.d");
mkdirSync(dsrConfFolder);

function write(datapath: string, yaml: string, conf: string): void {
	writeFileSync(config, `datapath: ${datapath}\nservices:${yaml === "" ? " []" : yaml}\n`);
	writeFileSync(join(dsrConfFolder, "services.conf"), conf);
}

async function l3dsrUp(): Promise<string> {
	const { context, printed } = captureContext("up");
	await up(context, { ...SYSTEM_HOST, dsrConfFolder }, { config, wait: 1 });
	return printed.stdout;
}

async function dsrctl(...argv: string[]): Promise<string> {
	const { context, printed } = captureContext("-d", dsrConfFolder, ...argv);
	const exitCode = await runDsrctl({ ...context, programName: "dsrctl" }, systemHost());
	assert.deepEqual({ exitCode, stderr: printed.stderr }, { exitCode: 0, stderr: "" }, printed.stdout);
	return printed.stdout;
}

const YAML = `
  - { vip: 192.0.2.10, name: web, dscp: 7 }
  - { vip: "2001:db8::10", name: web6, dscp: 7 }
  - { vip: 192.0.2.11, name: plain }`;
const CONF = "192.0.2.10 = 7\n2001:db8::10 = 7\n192.0.2.11\n";
const VIPS = ["192.0.2.10", "2001:db8::10", "192.0.2.11"];
const PORT = 5300;

/** Echoes datagrams and answers one request of each connection, on every VIP. */
const SERVER = `
	const [port, ...vips] = process.argv.slice(1);
	let left = 2 * vips.length;
	const done = () => { if (--left === 0) console.log("listening"); };
	for (const vip of vips) {
		const udp = require("node:dgram").createSocket(vip.includes(":") ? "udp6" : "udp4");
		udp.on("message", (message, from) => udp.send(message, from.port, from.address)).bind(port, vip, done);
		require("node:net").createServer((socket) => {
			socket.on("data", () => socket.end("!")).on("error", () => {});
		}).listen(port, vip, done);
	}`;

function spawnServer(): Disposable & { readonly listening: Promise<unknown> } {
	const child = spawn(process.execPath, ["-e", SERVER, String(PORT), ...VIPS], {
		stdio: ["ignore", "pipe", "inherit"],
	});
	return { listening: once(child.stdout, "data"), [Symbol.dispose]: () => child.kill("SIGKILL") };
}

for (const datapath of ["nft", "auto"]) {
	test(`a service moves from dsr.conf to l3dsr.yaml and back, and not one request is lost: datapath ${datapath}`, async () => {
		using client = new Netns("client");
		ip(`link add eth0 type veth peer name eth0 netns ${client.name}`);
		ip("addr add 10.0.0.2/24 dev eth0");
		ip("addr add fd00::2/64 dev eth0 nodad");
		ip("link set eth0 up");
		client.ip("link set eth0 up");
		client.ip("addr add 10.0.0.1/24 dev eth0");
		client.ip("addr add fd00::1/64 dev eth0 nodad");
		client.ip("route add 192.0.2.0/24 via 10.0.0.2");
		client.ip("route add 2001:db8::/64 via fd00::2");
		// The client is its own director: L3DSR services are marked and sent to the real address.
		client.run(
			"nft",
			`table inet director { chain output { type route hook output priority 0; policy accept;
			ip daddr 192.0.2.10 ip dscp set 7 ip daddr set 10.0.0.2
			ip6 daddr 2001:db8::10 ip6 dscp set 7 ip6 daddr set fd00::2
		}; }`,
		);

		write(datapath, "", CONF);
		assert.equal(await dsrctl("start"), "");
		// In a process of its own: the commands run in this one, which does not answer while they work.
		using server = spawnServer();
		await server.listening;
		const load = client.spawn(
			process.execPath,
			...FROM_SOURCE,
			"packages/l3dsr/test/cli/services/request-loop.ts",
			String(PORT),
			...VIPS,
		);
		let text = "";
		load.stdout?.on("data", (chunk) => {
			text += String(chunk);
		});
		load.stderr?.on("data", (chunk) => {
			text += String(chunk);
		});
		await waitFor("answer from every VIP", () => text.includes("all answer\n"), 10_000);

		for (let round = 0; round < 2; round++) {
			write(datapath, YAML, "");
			const there = await l3dsrUp();
			assert.match(there, /-D PREROUTING -m dscp --dscp 0x07 -j DADDR/);
			assert.doesNotMatch(there, /ip address/);
			assert.equal(there.includes("-A PREROUTING -i eth0 "), datapath === "auto");
			assert.equal(await dsrctl("start"), "");
			write(datapath, "", CONF);
			const back = await l3dsrUp();
			assert.match(back, /-A PREROUTING -m dscp --dscp 0x07 -j DADDR/);
			assert.doesNotMatch(back, /ip address/);
			assert.equal(await dsrctl("start"), "");
			assert.equal(await dsrctl("check"), "All DSRs started.\n");
		}

		load.stdin?.end();
		await waitFor("result", () => text.includes("}}\n"));
		const result = JSON.parse(text.split("\n").at(-2) ?? "");
		for (const vip of VIPS) {
			for (const protocol of ["udp", "tcp"]) {
				const { lost, answered } = result[`${protocol} ${vip}`];
				assert.equal(lost, 0, text);
				assert(answered > 5, text); // how many depends on how fast the commands and this machine are
			}
		}
		const counters = client.run("nstat", "-asz", "TcpExtTCPSynRetrans");
		assert.match(counters, /^TcpExtTCPSynRetrans +0 /m, "no SYN had to be sent again");
		await dsrctl("stop");
		ip("link del eth0");
		assert.doesNotMatch(run("nft", "list", "ruleset"), /l3dsr/);
		assert.equal(ip("-4 -o addr show to 192.0.2.0/24"), "");
	});
}
