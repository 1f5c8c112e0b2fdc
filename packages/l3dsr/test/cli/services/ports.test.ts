/**
 * Services with ports, and real servers on these or on other ports than clients send to: client ── router and director ── this host. The link to the client
 * is narrower than the others, so that the router answers large segments with "fragmentation needed", for the VIP.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { enterNetns, ip, Netns, run, waitFor } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const PEER = fileURLToPath(new URL("ports-peer.ts", import.meta.url));
/** Those with set-port, and those without. */
const VIPS = [
	{ vip: "192.0.2.10", dscp: 7, ports: { tcp: 8080, udp: 5353, nobody: 5454 } },
	{ vip: "2001:db8::10", dscp: 7, ports: { tcp: 8080, udp: 5353, nobody: 5454 } },
	{ vip: "192.0.2.11", dscp: 8 },
	{ vip: "2001:db8::11", dscp: 8 },
];
const BYTES = 300_000;
const NARROW = 1300;

const folder = mkdtempSync(join(tmpdir(), "l3dsr-set-port-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");

const router = new Netns("router");
const client = new Netns("client");
after(() => {
	for (const netns of [router, client]) netns[Symbol.dispose]();
});

/** Between a namespace and the router: the router's end is called `name`. */
function link(other: Netns | undefined, name: string, net: number): void {
	const at = (netns: Netns | undefined, command: string) =>
		netns === undefined ? ip(command) : netns.ip(command);
	router.ip(`link add ${name} type veth peer name eth0${other === undefined ? "" : ` netns ${other.name}`}`);
	if (other === undefined) router.ip(`link set eth0 netns ${process.pid}`);
	for (const [netns, device, host] of [
		[router, name, 1],
		[other, "eth0", 2],
	] as const) {
		at(netns, `addr add 10.0.${net}.${host}/24 dev ${device}`);
		at(netns, `addr add fd00:${net}::${host}/64 dev ${device} nodad`);
		at(netns, `link set ${device} up`);
	}
	at(other, `route add default via 10.0.${net}.1`);
	at(other, `-6 route add default via fd00:${net}::1`);
}

link(undefined, "server", 1);
link(client, "client", 2);
router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
router.ip(`link set client mtu ${NARROW}`);
// The client itself fits the link, and tells servers of more.
client.ip(`route change default via 10.0.2.1 mtu ${NARROW} advmss 1460`);
client.ip(`-6 route change default via fd00:2::1 mtu ${NARROW} advmss 1440`);
for (const { vip } of VIPS)
	router.ip(vip.includes(":") ? `-6 route add ${vip} via fd00:1::2` : `route add ${vip} via 10.0.1.2`);
// As a director does, and with its own ICMP errors too.
const REWRITE = VIPS.map(({ vip, dscp }) =>
	vip.includes(":")
		? `ip6 daddr ${vip} ip6 dscp set ${dscp} ip6 daddr set fd00:1::2`
		: `ip daddr ${vip} ip dscp set ${dscp} ip daddr set 10.0.1.2`,
).join("; ");
writeFileSync(
	join(folder, "director.nft"),
	`table inet director {
	chain from_clients { type filter hook prerouting priority -300; ${REWRITE}; }
	chain own_errors { type route hook output priority -150; ${REWRITE}; }
}`,
);
router.run("nft", "-f", join(folder, "director.nft"));

function services(more: string): string {
	const all = VIPS.flatMap(({ vip, dscp, ports }, index) =>
		(
			[
				["tcp", 80, ports?.tcp],
				["udp", 53, ports?.udp],
				["udp", 54, ports?.nobody],
			] as const
		).map(([protocol, port, to]) => {
			const set = to === undefined ? "" : `, set-port: ${to}`;
			return `  - {name: s${index}-${port}, vip: "${vip}", dscp: ${dscp}, protocol: ${protocol}, ports: ${port}${set}}`;
		}),
	);
	return `${more}\nservices:\n${all.join("\n")}\n`;
}

async function succeed(...argv: string[]): Promise<string> {
	const { exitCode, stdout, stderr } = await l3dsr(...argv);
	assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" });
	return stdout;
}

async function ask(): Promise<unknown> {
	const child = client.spawn(
		process.execPath,
		...FROM_SOURCE,
		PEER,
		"ask",
		String(BYTES),
		...VIPS.map(({ vip }) => vip),
	);
	let said = "";
	let wrong = "";
	child.stdout?.setEncoding("utf8").on("data", (text: string) => {
		said += text;
	});
	child.stderr?.setEncoding("utf8").on("data", (text: string) => {
		wrong += text;
	});
	await once(child, "close");
	assert.notEqual(said, "", wrong);
	return JSON.parse(said);
}

const ALL_ANSWERED = Object.fromEntries(
	VIPS.map(({ vip }) => [vip, { tcp: BYTES, udp: 4000, nobody: "ECONNREFUSED" }]),
);

for (const settings of [
	"datapath: auto",
	"datapath: nft",
	"datapath: auto\nhook: xdp-generic\nopen-checksums: accept",
]) {
	test(`services with ports and with set-port answer real clients, in fragments and behind a narrow link: ${settings.replaceAll("\n", ", ")}`, async () => {
		writeFileSync(config, services(settings));
		await succeed("up", "-c", config);
		const places = VIPS.map(({ vip, ports }) => `${vip},${ports?.tcp ?? 80},${ports?.udp ?? 53}`);
		const serving = spawn(process.execPath, [...FROM_SOURCE, PEER, "serve", ...places], {
			stdio: "pipe",
		});
		try {
			let said = "";
			serving.stdout.setEncoding("utf8").on("data", (text: string) => {
				said += text;
			});
			await waitFor("server", () => said.includes("serving"), 20_000);
			// What the router has told before is forgotten.
			ip("route flush cache");
			assert.deepEqual(await ask(), ALL_ANSWERED);
			assert.match(await succeed("diff", "-c", config), /^no difference/);
			const { services: rows } = JSON.parse(await succeed("status", "--json", "-c", config));
			const datapathOf = (name: string) => rows.find((row: { name: string }) => row.name === name)?.datapaths;
			assert.deepEqual(datapathOf("s0-80"), ["nft"]);
			assert.deepEqual(datapathOf("s2-80"), [settings.includes("auto") ? "ebpf" : "nft"]);
		} finally {
			serving.kill("SIGKILL");
			await once(serving, "close");
		}
		await succeed("down");
		assert.doesNotMatch(run("nft", "list", "ruleset"), /l3dsr/);
	});
}
