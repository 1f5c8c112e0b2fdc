import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { enterNetns, ip, run } from "../../../../../test/support/netns.ts";
import { diagnosticsOf } from "../../../src/cli/error-table.ts";
import { SYSTEM_HOST } from "../../../src/cli/services/host.ts";
import { up } from "../../../src/cli/up.ts";
import type { Ruleset } from "../../../src/model/ruleset.ts";
import type { Assignment } from "../../../src/rewrite/assign.ts";
import type { Datapath } from "../../../src/rewrite/datapath.ts";
import type { HostDatapath } from "../../../src/rewrite/host-datapath.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { captureContext, l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-up-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");

ip("link add eth0 type veth peer name peer0");
ip("addr add 10.0.0.2/24 dev eth0");
ip("link set eth0 up");
ip("link set peer0 up");

const SERVICES = `
datapath: nft
services:
  - { vip: 192.0.2.10, name: web, dscp: 7 }
  - { vip: 192.0.2.11, name: dns, dscp: 8, protocol: udp, ports: 53 }
  - { vip: "2001:db8::10", name: web6, dscp: 7 }
  - { vip: 192.0.2.12, name: plain }
`;

/** Other people's objects, none of which may ever change. */
const FOREIGN = [
	"table inet foreign { chain c { type filter hook input priority 0; ip dscp 46 counter; }; }",
];

function foreignState(): string {
	return (
		run("nft", "-n", "list", "table", "inet", "foreign") +
		run("nft", "-n", "list", "table", "ip", "theirs") +
		ip("-o addr show to 198.51.100.0/24") +
		ip("-4 -o addr show dev eth0")
	);
}

beforeEach(() => {
	run("nft", "flush", "ruleset");
	ip("addr flush dev lo scope global");
	for (const table of FOREIGN) run("nft", table.replace(/^table/, "add table"));
	run("nft", "add table ip theirs");
	run("nft", "add set ip theirs s { type ipv4_addr; elements = { 192.0.2.10 }; }");
	ip("addr add 198.51.100.7/32 dev lo label lo:1");
	writeFileSync(config, SERVICES);
});

async function succeed(...argv: string[]): Promise<string> {
	const { exitCode, stdout, stderr } = await l3dsr(...argv);
	assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" });
	return stdout;
}

test("up changes the host to match the file, prints each step, and then has nothing to do", async () => {
	const before = foreignState();
	const dry = await succeed("up", "-n", "-c", config);
	assert.equal(ip("-o addr show to 192.0.2.0/24"), "");
	assert.equal(
		dry,
		`nft table arp l3dsr: suppress ARP for 192.0.2.10, 192.0.2.11, 192.0.2.12, 2001:db8::10
ip address add 192.0.2.10/32 dev lo label lo:2
ip address add 192.0.2.11/32 dev lo label lo:3
ip address add 2001:db8::10/128 dev lo nodad preferred_lft 0
ip address add 192.0.2.12/32 dev lo label lo:4
iptables-daddr -t raw -A PREROUTING -m dscp --dscp 0x07 -m addrtype --dst-type LOCAL -m comment --comment "l3dsr:web" -j DADDR --set-daddr 192.0.2.10
iptables-daddr -t raw -A PREROUTING -p udp -m dscp --dscp 0x08 -m udp --dport 53 -m addrtype --dst-type LOCAL -m comment --comment "l3dsr:dns" -j DADDR --set-daddr 192.0.2.11 --icmp-errors --later-fragments
ip6tables-daddr -t raw -A PREROUTING -m dscp --dscp 0x07 -m addrtype --dst-type LOCAL -m comment --comment "l3dsr:web6" -j DADDR --set-daddr 2001:db8::10
`,
	);
	assert.equal(await succeed("up", "-c", config), `${dry}done: 4 services are up, on nft\n`);
	assert.equal(await succeed("up", "-c", config), "nothing to do: 4 services are up\n");
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	assert.equal(foreignState(), before);

	writeFileSync(config, "datapath: nft\nservices:\n  - { vip: 192.0.2.10, name: web, dscp: 9 }\n");
	const change = await succeed("up", "-c", config);
	assert.match(
		change,
		/-D PREROUTING .*0x07.*"l3dsr:web"[\s\S]*-A PREROUTING .*0x09.*"l3dsr:web"[\s\S]*address del 192.0.2.11/,
	);
	assert.match(ip("-o addr show to 192.0.2.10"), /lo:2/);
	assert.equal(ip("-o addr show to 192.0.2.11"), "");

	await succeed("down");
	assert.equal(await succeed("down"), "nothing to do: no service is up\n");
	assert.equal(foreignState(), before);
	assert.doesNotMatch(run("nft", "list", "ruleset"), /l3dsr/);
});

function onNft(nft: Ruleset): Assignment {
	const reason = { kind: "asked-for-nft" } as const;
	return { rules: nft.entries.map((entry) => ({ entry, datapath: "nft", reason })), ebpf: new Map(), nft };
}

/** Like `openDatapath` with datapath nft, on these programs. */
function nftOnly(datapath: Pick<Datapath, "observe">): HostDatapath {
	return {
		async observe() {
			const snapshot = await datapath.observe();
			return {
				...snapshot,
				directors: [],
				change: ({ nft }) => snapshot.change(nft),
				assign: async (ruleset) => onNft(ruleset),
				assignAsObserved: onNft,
			};
		},
	};
}

test("after a refused step all earlier steps are undone, and the undone steps are listed", async () => {
	await succeed("up", "-c", config);
	const before = run("nft", "-s", "list", "ruleset") + ip("-o addr show dev lo");
	writeFileSync(config, SERVICES.replace("dscp: 7", "dscp: 9").replace("192.0.2.12", "192.0.2.13"));
	const { context, printed } = captureContext("up");
	const host = SYSTEM_HOST;
	const datapath = new NftDatapath();
	let refused = false;
	const refusing = {
		async observe() {
			const snapshot = await datapath.observe();
			return {
				...snapshot,
				async change(ruleset: Ruleset) {
					if (refused) return snapshot.change(ruleset);
					refused = true;
					throw new Error("the kernel has no more memory");
				},
			};
		},
	};
	await assert.rejects(
		up(context, { ...host, openDatapath: async () => nftOnly(refusing) }, { config, wait: 1 }),
		(error) => {
			const [{ message, notes }] = diagnosticsOf(error);
			assert.match(message, /no more memory/);
			assert.deepEqual(notes, [
				"undone: ip address del 192.0.2.13/32 dev lo",
				"undone: nft table arp l3dsr: suppress ARP for 192.0.2.10, 192.0.2.11, 192.0.2.12, 2001:db8::10",
			]);
			return true;
		},
	);
	assert.match(printed.stdout, /address add 192\.0\.2\.13/);
	assert.equal(run("nft", "-s", "list", "ruleset") + ip("-o addr show dev lo"), before);
});

test("a host that differs from the plan afterwards is restored to its original state", async () => {
	const { context } = captureContext("up");
	const host = SYSTEM_HOST;
	const real = new NftDatapath();
	// Reports the change as done without making it.
	const idle = { observe: async () => ({ ...(await real.observe()), change: async () => {} }) };
	await assert.rejects(
		up(context, { ...host, openDatapath: async () => nftOnly(idle) }, { config, wait: 1 }),
		(error) => {
			const [{ code, notes = [] }] = diagnosticsOf(error);
			assert.equal(code, "DATAPATH_VERIFY");
			assert.match(notes[0] ?? "", /^still to do: iptables-daddr .*l3dsr:web/);
			assert(notes.includes("undone: ip address del 192.0.2.10/32 dev lo"), notes.join("\n"));
			return true;
		},
	);
	assert.equal(ip("-o addr show to 192.0.2.0/24"), "");
	assert.doesNotMatch(run("nft", "list", "ruleset"), /l3dsr/);
});

test("a faulty file changes nothing, and every fault is reported", async () => {
	await succeed("up", "-c", config);
	const before = run("nft", "-s", "list", "ruleset");
	writeFileSync(config, `${SERVICES}  - { vip: 192.0.2.99, dscp: 7 }\n`);
	const { exitCode, stderr } = await l3dsr("up", "-c", config);
	assert.equal(exitCode, 2);
	assert.match(stderr, /error\[MODEL_DSCP_CONFLICT\]: DSCP 7 already selects VIP 192\.0\.2\.10/);
	assert.equal(run("nft", "-s", "list", "ruleset"), before);
	assert.equal((await l3dsr("up", "-c", "/nowhere/l3dsr.yaml")).exitCode, 2);
});

for (const [what, text] of [
	["an empty file", ""],
	["a file of comments only", "# services:\n"],
	["a file that sets something and names no services", "datapath: nft\n"],
] as const) {
	test(`${what} takes no service away: up refuses it, and explains how to configure no services`, async () => {
		await succeed("up", "-c", config);
		const before = run("nft", "-s", "list", "ruleset") + ip("-o addr show dev lo");
		writeFileSync(config, text);
		const { exitCode, stderr } = await l3dsr("up", "-c", config);
		assert.equal(exitCode, 2);
		assert.match(
			stderr,
			/^error\[CONFIG_MISSING\]: .* names no services\nhint: write services: \[\] if this host should have none\n$/,
		);
		assert.equal(run("nft", "-s", "list", "ruleset") + ip("-o addr show dev lo"), before);
		writeFileSync(config, "services: []\n");
		assert.match(await succeed("up", "-c", config), /^done: no service is up$/m);
	});
}

test("dsr.conf files are included, and conflicts with them name both places", async () => {
	const conf = join(folder, "dsr.d");
	run("mkdir", "-p", conf);
	writeFileSync(join(conf, "a.conf"), "192.0.2.20 = 0x14 # twenty\n192.0.2.21\n");
	writeFileSync(config, `${SERVICES}include: dsr.d\n`);
	assert.match(await succeed("up", "-c", config), /"l3dsr:192\.0\.2\.20" -j DADDR/);
	assert.match(ip("-o addr show to 192.0.2.21"), /lo:/);
	writeFileSync(config, `${SERVICES}include: nowhere\n`);
	assert.deepEqual(await l3dsr("up", "-c", config), {
		exitCode: 2,
		stdout: "",
		stderr: `${config}:8:10: error[CONFIG_READ]: read ${join(folder, "nowhere")}: ENOENT (no such file or directory)
8 | include: nowhere
             ^^^^^^^
`,
	});
	writeFileSync(config, `${SERVICES}include: dsr.d\n`);
	writeFileSync(join(conf, "b.conf"), "192.0.2.30=7\n192.0.2.31=64\n");
	const { exitCode, stderr } = await l3dsr("up", "-c", config);
	assert.equal(exitCode, 2);
	assert.match(stderr, /b\.conf:2:1: error\[CONFIG_DSCP_RANGE\]/);
	writeFileSync(join(conf, "b.conf"), "192.0.2.30=9\nff02::1 = 12 # everybody\n");
	assert.match(
		(await l3dsr("check", "-c", config)).stderr,
		/b\.conf:2:1: error\[CONFIG_BAD_VALUE\]: ff02::1 is a multicast address, which cannot be a VIP/,
	);
	writeFileSync(join(conf, "b.conf"), "192.0.2.30=7\n");
	assert.match(
		(await l3dsr("up", "-c", config)).stderr,
		/b\.conf:1:1: error\[MODEL_DSCP_CONFLICT\][\s\S]*l3dsr\.yaml:4:41/,
	);
});
