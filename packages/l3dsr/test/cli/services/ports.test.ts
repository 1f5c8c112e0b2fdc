/**
 * Services with ports, and real servers on these or on other ports than clients send to, a real nginx among them: client ── router and director ── this host. The link to the client
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
	{ vip: "192.0.2.10", dscp: 7, ports: { tcp: 8080, nginx: 8081, udp: 5353, nobody: 5454 } },
	{ vip: "2001:db8::10", dscp: 7, ports: { tcp: 8080, nginx: 8081, udp: 5353, nobody: 5454 } },
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
				["tcp", 81, ports?.nginx],
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

/** A real nginx on the ports that packets are sent on to; gives what ends it. */
async function startNginx(): Promise<() => Promise<void>> {
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
	const nginx = spawn("nginx", ["-c", file, "-e", "stderr"], { stdio: ["ignore", "ignore", "pipe"] });
	let said = "";
	nginx.stderr.setEncoding("utf8").on("data", (text: string) => {
		said += text;
	});
	const listening = () => run("ss", "-Hltn", "sport = :8081").trim().split("\n").length === 2;
	await waitFor("nginx", () => {
		if (nginx.exitCode !== null) throw new Error(`nginx ended: ${said}`);
		return listening();
	});
	return async () => {
		nginx.kill("SIGKILL");
		await once(nginx, "close");
	};
}

/** Bytes of the page that a client gets from a VIP, by curl. */
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
			const stopNginx = await startNginx();
			try {
				for (const { vip } of VIPS) assert.equal(fetched(vip), BYTES, vip);
			} finally {
				await stopNginx();
			}
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
