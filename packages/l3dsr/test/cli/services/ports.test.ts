/**
 * Services with ports, and real servers (including nginx) on the same or other ports than clients send to:
 * client ── router and director ── this host ── guest. The link to the client has a smaller MTU, so the
 * router answers large segments with "fragmentation needed", to the VIP.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { NetworkNamespace, PacketSocket } from "@l3dsr/linux";
import { parsePacket } from "@l3dsr/packet";
import { kernelHas } from "../../../../../test/support/kernel.ts";
import { enterNetns, ip, Netns, run, waitFor } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";
import { runL3dsr } from "../../../src/cli/l3dsr.ts";
import type { HookName } from "../../../src/rewrite/datapath.ts";
import {
	bytesOf,
	ethernet,
	icmpError,
	icmpv6Error,
	ipv4,
	ipv6,
	type Payload,
	tcp,
	udp,
} from "../../packets/build.ts";
import { captureContext } from "../run-command.ts";

enterNetns();

const PEER = fileURLToPath(new URL("ports-peer.ts", import.meta.url));
/** VIPs with set-port, and without. */
const VIPS = [
	{ vip: "192.0.2.10", dscp: 7, ports: { tcp: 8080, nginx: 8081, closed: 8082, udp: 5353, nobody: 5454 } },
	{ vip: "2001:db8::10", dscp: 7, ports: { tcp: 8080, nginx: 8081, closed: 8082, udp: 5353, nobody: 5454 } },
	{ vip: "192.0.2.11", dscp: 8 },
	{ vip: "2001:db8::11", dscp: 8 },
];
const [HOST_MAC, GUEST_MAC] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];
const ETHERNET_HEADER_BYTES = 14;
const BYTES = 300_000;
const NARROW = 1300;

const folder = mkdtempSync(join(tmpdir(), "l3dsr-set-port-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");

const router = new Netns("router");
const client = new Netns("client");
const guest = new Netns("guest");
after(() => {
	for (const netns of [router, client, guest]) netns[Symbol.dispose]();
});

/** A link between a namespace and the router, whose end is called `name`. */
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
ip(`link add eth1 address ${HOST_MAC} type veth peer name eth0 netns ${guest.name} address ${GUEST_MAC}`);
ip("link set eth1 up");
guest.ip("link set eth0 up");
// The guest sends from a VIP, which is also an address of this host.
run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
run("sysctl", "-qw", "net.ipv4.conf.eth1.accept_local=1");
router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
router.ip(`link set client mtu ${NARROW}`);
// The client itself respects the link's MTU, but announces more to servers.
client.ip(`route change default via 10.0.2.1 mtu ${NARROW} advmss 1460`);
client.ip(`-6 route change default via fd00:2::1 mtu ${NARROW} advmss 1440`);
for (const { vip } of VIPS)
	router.ip(vip.includes(":") ? `-6 route add ${vip} via fd00:1::2` : `route add ${vip} via 10.0.1.2`);
// As a director does, also for its own ICMP errors.
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
				["tcp", 81, ports?.nginx],
				["tcp", 82, ports?.closed],
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

async function succeed(argv: readonly string[], hook?: HookName): Promise<string> {
	const { context, printed } = captureContext(...argv);
	const env = { ...context.env, ...(hook === undefined ? {} : { L3DSR_HOOK: hook }) };
	const exitCode = await runL3dsr({ ...context, env });
	assert.deepEqual({ exitCode, stderr: printed.stderr }, { exitCode: 0, stderr: "" });
	return printed.stdout;
}

/** What runs until the end, also if one of them does not start. */
const servers: ChildProcess[] = [];

/** Starts servers on the ports that packets are sent on to. */
async function startPeer(): Promise<void> {
	const places = VIPS.map(({ vip, ports }) => `${vip},${ports?.tcp ?? 80},${ports?.udp ?? 53}`);
	const peer = spawn(process.execPath, [...FROM_SOURCE, PEER, "serve", ...places], { stdio: "pipe" });
	servers.push(peer);
	let said = "";
	peer.stdout.setEncoding("utf8").on("data", (text: string) => {
		said += text;
	});
	await waitFor("server", () => said.includes("serving"), 20_000);
}

/** Starts a real nginx beside them. */
async function startNginx(): Promise<void> {
	const listen = VIPS.map(({ vip, ports }) => {
		const address = vip.includes(":") ? `[${vip}]` : vip;
		return `listen ${address}:${ports?.nginx ?? 81};`;
	});
	const file = join(folder, "nginx.conf");
	writeFileSync(join(folder, "page"), "n".repeat(BYTES));
	writeFileSync(
		file,
		`daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr;
		events {}
		http {
			access_log off;
			client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
			uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
			server { ${listen.join(" ")} root ${folder}; }
		}`,
	);
	// Debian 11's nginx has no -e for what it says before it has read the file.
	const nginx = spawn("nginx", ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
	servers.push(nginx);
	let said = "";
	nginx.stderr.setEncoding("utf8").on("data", (text: string) => {
		said += text;
	});
	const listening = () => run("ss", "-Hltn", "sport = :8081").trim().split("\n").length === 2;
	await waitFor("nginx", () => {
		if (nginx.exitCode !== null) throw new Error(`nginx ended: ${said}`);
		return listening();
	});
}

/** The size in bytes of the page that a client gets from a VIP, by curl. */
function fetched(vip: string): number {
	const host = vip.includes(":") ? `[${vip}]` : vip;
	const command = [
		"curl",
		"-sS",
		"--globoff",
		"--max-time",
		"5",
		"-o",
		"/dev/null",
		"-w",
		"%{size_download}",
	];
	return Number(client.run(...(command as [string, ...string[]]), `http://${host}:81/page`));
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
	VIPS.map(({ vip }) => [
		vip,
		{ tcp: BYTES, closed: "0 bytes, then ECONNREFUSED", udp: 4000, nobody: "ECONNREFUSED" },
	]),
);

/**
 * Packets that the guest sends through this host as if it were a real server behind it: answers, and an error
 * about a request.
 */
function forwarded(): Uint8Array[] {
	return VIPS.flatMap(({ vip, ports }) => {
		if (ports === undefined) return [];
		const family = vip.includes(":") ? "ipv6" : "ipv4";
		const there = family === "ipv6" ? "fd00:2::2" : "10.0.2.2";
		const build = (source: string, destination: string, payload: Payload) =>
			family === "ipv6" ? ipv6({ source, destination }, payload) : ipv4({ source, destination }, payload);
		const question = build(there, vip, udp({ sourcePort: 40000, destinationPort: ports.nobody }));
		const error = family === "ipv6" ? icmpv6Error(question, 1, 4) : icmpError(question, 3, 3);
		return [
			build(vip, there, tcp({ sourcePort: ports.tcp, destinationPort: 40000, data: "forwarded" })),
			build(vip, there, udp({ sourcePort: ports.udp, destinationPort: 40000, data: "forwarded" })),
			build(vip, there, error),
		];
	});
}

/** From the transport header on: the headers before it change on the way. Empty if there is no IP packet. */
function payloadOf(packet: Uint8Array): string {
	const parsed = parsePacket(packet);
	if (typeof parsed === "string") return "";
	return Buffer.from(packet.subarray(parsed.family === "ipv6" ? 40 : 20)).toString("hex");
}

/** Packets that this host forwards for the guest reach the client unchanged. */
async function assertForwardedAsSent(): Promise<void> {
	using there = NetworkNamespace.open(`/run/netns/${client.name}`);
	using behind = NetworkNamespace.open(`/run/netns/${guest.name}`);
	using capture = there.within(() => new PacketSocket({ interfaceName: "eth0", ignoreOutgoing: true }));
	using sender = behind.within(() => new PacketSocket({ interfaceName: "eth0", etherType: 0 }));
	const packets = forwarded();
	const [source, destination] = [GUEST_MAC, HOST_MAC];
	sender.send(packets.map((packet) => bytesOf(ethernet({ source, destination }, packet))));
	const left = new Set(packets.map(payloadOf));
	await waitFor("forwarded packets, as they were sent", () => {
		for (let frame = capture.receive(); frame !== undefined; frame = capture.receive()) {
			left.delete(payloadOf(frame.bytes.subarray(ETHERNET_HEADER_BYTES)));
		}
		return left.size === 0;
	});
}

before(async () => {
	// The servers stay when VIPs are added and removed.
	run("sysctl", "-qw", "net.ipv4.ip_nonlocal_bind=1", "net.ipv6.ip_nonlocal_bind=1");
	await Promise.all([startPeer(), startNginx()]);
});
after(async () => {
	for (const server of servers) {
		if (server.exitCode !== null) continue;
		server.kill("SIGKILL");
		await once(server, "close");
	}
});

for (const { datapath, hook } of [
	{ datapath: "auto", hook: kernelHas("tcx") ? "tcx" : "clsact" },
	{ datapath: "nft" },
	{ datapath: "ebpf", hook: "clsact" },
	{ datapath: "ebpf", hook: "xdp" },
	{ datapath: "ebpf", hook: "xdp-generic" },
] as const) {
	const where = hook === undefined ? datapath : `${datapath} at ${hook}`;
	test(`services with ports and set-port answer real clients, with fragments and a small MTU, and forwarded packets are unchanged: ${where}`, async () => {
		writeFileSync(config, services(`datapath: ${datapath}\ninterfaces: eth0\nopen-checksums: accept`));
		await succeed(["up", "-c", config], hook);
		for (const { vip } of VIPS) assert.equal(fetched(vip), BYTES, vip);
		// Forgets the router's errors, and keeps the kernel from caching a handshake.
		ip("route flush cache");
		run("sysctl", "-qw", "net.ipv4.tcp_syncookies=2");
		assert.deepEqual(await ask(), ALL_ANSWERED);
		run("sysctl", "-qw", "net.ipv4.tcp_syncookies=1");
		await assertForwardedAsSent();
		assert.match(await succeed(["diff", "-c", config], hook), /^no difference/);
		const status = JSON.parse(await succeed(["status", "--json", "-c", config], hook));
		for (const { name, datapaths } of status.services)
			assert.deepEqual([name, datapaths], [name, [hook === undefined ? "nft" : "ebpf"]]);
		assert.deepEqual(status.datapath.hooks, hook === undefined ? [] : [{ interface: "eth0", hook }]);
		await succeed(["down"]);
		assert.doesNotMatch(run("nft", "list", "ruleset"), /l3dsr/);
		assert.doesNotMatch(run("tc", "filter", "show", "dev", "eth0", "ingress"), /l3dsr/);
	});
}
