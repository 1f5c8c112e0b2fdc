/** More VIPs than codes, distinguished by real address, interface and port as well. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { enterNetns, ip, Netns, waitFor } from "../../../../../test/support/netns.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-many-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const CODES = Array.from({ length: 60 }, (_, index) => index + 1);

/** A network of VIPs for each kind of selection; the code is the last number of the VIP. */
const WAYS = [
	{ asked: "10.0.0.2", vips: "192.0.2", condition: "real: 10.0.0.2, interface: eth0" },
	{ asked: "10.0.0.3", vips: "198.51.100", condition: "real: 10.0.0.3, interface: eth0" },
	{ asked: "10.0.1.2", vips: "203.0.113", condition: "interface: eth1" },
] as const;
/** Two VIPs share this code and every other condition except the port. */
const SHARED = { code: 63, ports: { 80: "192.0.2.180", 443: "192.0.2.143" } } as const;

const client = new Netns("client");
after(() => client[Symbol.dispose]());

before(async () => {
	for (const index of [0, 1]) {
		ip(`link add eth${index} type veth peer name eth${index} netns ${client.name}`);
		ip(`addr add 10.0.${index}.2/24 dev eth${index}`);
		ip(`link set eth${index} up`);
		client.ip(`addr add 10.0.${index}.1/24 dev eth${index}`);
		client.ip(`link set eth${index} up`);
		await waitFor("carrier", () => readFileSync(`/sys/class/net/eth${index}/operstate`, "utf8") === "up\n");
	}
	ip("addr add 10.0.0.3/24 dev eth0");
	// The client is its own director for the two VIPs that it connects to.
	client.ip("route add 192.0.2.0/24 via 10.0.0.2");
	client.run(
		"nft",
		`table ip director { chain output { type route hook output priority 0;
		ip daddr { 192.0.2.180, 192.0.2.143 } ip dscp set ${SHARED.code} ip daddr set 10.0.0.2; }; }`,
	);
});

function write(datapath: string): number {
	const lines = WAYS.flatMap(({ vips, condition }) =>
		CODES.map((code) => `  - { vip: ${vips}.${code}, dscp: ${code}, ${condition} }\n`),
	);
	for (const [port, vip] of Object.entries(SHARED.ports)) {
		lines.push(`  - { vip: ${vip}, dscp: ${SHARED.code}, protocol: tcp, ports: ${port} }\n`);
	}
	writeFileSync(config, `datapath: ${datapath}\nservices:\n${lines.join("")}`);
	return lines.length;
}

/** The address that answers a ping to this address with this code. */
function answerer(real: string, code: number): string | undefined {
	const ping = client.run("ping", "-n", "-c1", "-W2", "-Q", String(code << 2), real);
	return /bytes from ([^ ]+?):? /.exec(ping)?.[1];
}

for (const datapath of ["ebpf", "nft"]) {
	test(`182 VIPs with 61 codes each answer only their own requests: ${datapath}`, async () => {
		const count = write(datapath);
		assert.equal(count, 182);
		const { exitCode, stderr } = await l3dsr("up", "-c", config);
		assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" });
		assert.equal((await l3dsr("up", "-c", config)).stdout, `nothing to do: ${count} services are up\n`);
		assert.equal((await l3dsr("diff", "-c", config)).exitCode, 0);
		for (const code of [1, 2, 7, 31, 32, 59, 60]) {
			for (const { asked, vips } of WAYS) assert.equal(answerer(asked, code), `${vips}.${code}`);
		}
		assert.equal(answerer("10.0.0.2", 61), "10.0.0.2", "a code that no VIP has");

		const servers = Object.keys(SHARED.ports).map((port) =>
			createServer((socket) => socket.end(String(socket.localAddress))).listen(Number(port), "0.0.0.0"),
		);
		const fetch =
			"socket = require('net').connect(+process.argv[1], process.argv[2]); socket.pipe(process.stdout)";
		for (const [port, vip] of Object.entries(SHARED.ports)) {
			const child = client.spawn(process.execPath, "-e", fetch, port, vip);
			let text = "";
			child.stdout?.on("data", (chunk) => {
				text += String(chunk);
			});
			await waitFor(`answer of ${vip}`, () => text === vip, 10_000);
		}
		for (const server of servers) server.close();
		const { services } = JSON.parse((await l3dsr("status", "--json", "-c", config)).stdout);
		assert(services.every(({ state }: { state: string }) => state === "up"));
		assert.equal((await l3dsr("down")).exitCode, 0);
		assert.equal(ip("-o addr show dev lo scope global"), "");
	});
}

test("two VIPs that one packet could select are refused, with both places", async () => {
	writeFileSync(
		config,
		`services:
  - { vip: 192.0.2.1, dscp: 1, real: 10.0.0.0/30 }
  - { vip: 192.0.2.2, dscp: 1, interface: eth1 }
  - { vip: 192.0.2.3, mark: 0x10/0x10, protocol: tcp, ports: 80-90 }
  - { vip: 192.0.2.4, mark: 0x20/0x20, protocol: [udp, tcp], ports: [53, 85] }
  - { vip: 192.0.2.5, dscp: 1, real: 10.0.0.8 }
  - { vip: 192.0.2.6, dscp: 9, interface: eth1 }
  - { vip: 192.0.2.7, dscp: 9 }
`,
	);
	const { exitCode, stderr } = await l3dsr("check", "-c", config);
	assert.equal(exitCode, 2);
	const lines = stderr.split("\n").filter((line) => /error|note/.test(line));
	const at = (line: number, rest: string) =>
		lines.some((one) => one.startsWith(`${config}:${line}:`) && one.includes(rest));
	assert(at(3, "DSCP 1 already selects VIP 192.0.2.1"), stderr);
	assert(
		at(5, "a packet could belong to VIP 192.0.2.4 or to VIP 192.0.2.3: their selections overlap"),
		stderr,
	);
	assert(at(6, "DSCP 1 already selects VIP 192.0.2.2"), stderr);
	assert.match(
		stderr,
		/^hint: interface is a condition of only one of them, and real of the other: a packet can match both$/m,
	);
	assert.match(stderr, /^hint: interface is a condition of only one of them: a packet can match both$/m);
	assert(lines.includes(`note: first used at ${config}:2:29`), stderr);
});
