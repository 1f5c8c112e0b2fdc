/**
 * Connections along a VIP's path, and every real cause that stops one after the handshake: this host sends
 * the probes, a router is between, and the server rewrites with nftables rules.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns, ip, Netns, run, waitFor } from "../../../../test/support/netns.ts";
import { l3dsr } from "../cli/run-command.ts";

enterNetns();
failOnLeaks();

const REAL = { ipv4: "10.8.1.2", ipv6: "2001:db8:81::2" } as const;
const VIP = { ipv4: "192.0.2.10", ipv6: "2001:db8:a::10" } as const;
const ROUTER = { near: { ipv4: "10.8.0.1", ipv6: "2001:db8:80::1" }, far: { ipv4: "10.8.1.1" } } as const;
const FAMILIES = ["ipv4", "ipv6"] as const;
/**
 * At 80: 5,000 bytes for a request. At 81: silence. At 82: a reset. At 83: end of connection. By UDP, 7 on
 * all addresses, 8 on the VIPs.
 */
const SERVICE = `
const net = require("node:net"), dgram = require("node:dgram");
const answer = (socket) => socket.on("error", () => {}).on("data", () => socket.end(Buffer.alloc(5000, "x")));
net.createServer(answer).listen(80, "::");
net.createServer((socket) => socket.on("error", () => {}).resume()).listen(81, "::");
net.createServer((socket) => socket.resetAndDestroy()).listen(82, "::");
net.createServer((socket) => socket.on("error", () => {}).once("data", () => socket.end())).listen(83, "::");
const echo = (kind, port, address) => {
	const socket = dgram.createSocket(kind);
	socket.on("message", (data, from) => socket.send(data, from.port, from.address));
	socket.bind(port, address);
};
echo("udp4", 7, "0.0.0.0");
echo("udp4", 8, "${VIP.ipv4}");
echo("udp6", 8, "${VIP.ipv6}");
setTimeout(() => console.log("listening"), 0);`;

const router = new Netns("router");
const server = new Netns("server");
after(() => {
	for (const netns of [router, server]) netns[Symbol.dispose]();
});

before(async () => {
	ip(`link add v0 index 130 type veth peer name near netns ${router.name}`);
	router.ip(`link add far index 140 type veth peer name eth0 netns ${server.name}`);
	ip("address add 10.8.0.2/24 dev v0");
	ip("address add 2001:db8:80::2/64 dev v0 nodad");
	ip("link set v0 up");
	router.ip(`address add ${ROUTER.near.ipv4}/24 dev near`);
	router.ip(`address add ${ROUTER.near.ipv6}/64 dev near nodad`);
	router.ip(`address add ${ROUTER.far.ipv4}/24 dev far`);
	router.ip("address add 2001:db8:81::1/64 dev far nodad");
	for (const name of ["near", "far"]) router.ip(`link set ${name} up`);
	router.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
	server.ip(`address add ${REAL.ipv4}/24 dev eth0`);
	server.ip(`address add ${REAL.ipv6}/64 dev eth0 nodad`);
	server.ip(`address add ${VIP.ipv4}/32 dev lo`);
	server.ip(`address add ${VIP.ipv6}/128 dev lo nodad`);
	server.ip("link set eth0 up");
	server.ip(`route add default via ${ROUTER.far.ipv4}`);
	server.ip("-6 route add default via 2001:db8:81::1");
	ip(`route add default via ${ROUTER.near.ipv4}`);
	ip(`-6 route add default via ${ROUTER.near.ipv6}`);
	const service = server.spawn(process.execPath, "-e", SERVICE);
	let said = "";
	service.stdout?.on("data", (chunk) => {
		said += String(chunk);
	});
	await waitFor("service", () => said.includes("listening"));
	rewriteIn("prerouting", "raw");
	for (const family of FAMILIES) await waitFor(`echo of ${REAL[family]}`, () => answersPing(REAL[family]));
});

function answersPing(address: string): boolean {
	try {
		run("ping", "-c", "1", "-W", "1", address);
		return true;
	} catch {
		return false;
	}
}

/** Without connections whose reset a filter drops: they end by themselves. */
function established(): string {
	return server.run("ss", "-Htan", "exclude", "syn-recv", "exclude", "listening");
}

/** The rules for DSCP 7, created again at this hook. */
function rewriteIn(hook: "prerouting" | "input", priority: string, condition = ""): void {
	server.run(
		"nft",
		`table inet rules; delete table inet rules; table inet rules { chain dsr { type filter hook ${hook} priority ${priority};
		ip dscp 7 ${condition} ip daddr set ${VIP.ipv4}; ip6 dscp 7 ${condition} ip6 daddr set ${VIP.ipv6}; }; }`,
	);
}

interface Report {
	readonly ok: boolean;
	readonly outcome: string;
	readonly answeredBy?: string;
	readonly found: readonly string[];
	readonly causes: readonly string[];
	readonly next: readonly string[];
}

async function probe(family: (typeof FAMILIES)[number], ...options: readonly string[]): Promise<Report> {
	const { stdout, stderr } = await l3dsr(
		...["probe", REAL[family], "--dscp", "7", "--vip", VIP[family], "--timeout", "0.8", "--json", ...options],
	);
	assert.equal(stderr, "");
	const [report] = JSON.parse(stdout).targets;
	return report;
}

const REQUEST = ["--connect", "--send", "GET / HTTP/1.0\\r\\n\\r\\n"];

for (const family of FAMILIES) {
	describe(`probe --connect over ${family}`, () => {
		it("completes a connection, and a request gets its whole answer", async () => {
			const plain = await probe(family, "--port", "80", "--connect");
			assert.deepEqual([plain.ok, plain.outcome, plain.answeredBy], [true, "vip", VIP[family]]);
			assert.deepEqual([plain.found, plain.causes], [[], []]);
			const whole = await probe(family, "--port", "80", ...REQUEST);
			assert.deepEqual([whole.ok, whole.outcome, whole.found], [true, "vip", []]);
			await waitFor("end of every connection", () => established() === "");
		});

		it("distinguishes a silent service from a path that loses its answer", async () => {
			const hung = await probe(family, "--port", "81", ...REQUEST);
			assert.deepEqual([hung.ok, hung.outcome], [false, "request-unanswered"]);
			assert.match(hung.causes.join("\n"), /^the service on .* does not answer this request/);
			router.ip("link set near mtu 1280");
			try {
				const lost = await probe(family, "--port", "80", ...REQUEST);
				assert.deepEqual([lost.ok, lost.outcome], [false, "request-unanswered"]);
				assert.match(lost.found.join("\n"), /with segments of \d+ bytes at most, the answer arrives/);
				assert.match(lost.causes.join("\n"), /^path MTU: large packets from the VIP are lost/);
			} finally {
				router.ip("link set near mtu 1500");
				server.ip("route flush cache");
				server.ip("-6 route flush cache");
			}
		});

		it("recognises a service that closes without an answer", async () => {
			const closed = await probe(family, "--port", "83", ...REQUEST);
			assert.deepEqual([closed.ok, closed.outcome], [false, "request-unanswered"]);
			assert.deepEqual(closed.found, ["the service closed the connection without an answer"]);
		});

		it("names the MTU of the path to the server", async () => {
			router.ip("link set far mtu 1400");
			try {
				const narrow = await probe(family, "--port", "80", "--connect");
				assert.equal(narrow.ok, true);
				assert.match(narrow.found.join("\n"), /^\S+ passes packets of at most 1400 bytes to /);
				assert.match(narrow.causes.join("\n"), /^path MTU towards /);
			} finally {
				router.ip("link set far mtu 1500");
				ip("route flush cache");
				ip("-6 route flush cache");
			}
		});

		it("names connection tracking that sees only one direction", async () => {
			rewriteIn("input", "mangle");
			server.run(
				"nft",
				"table inet fw { chain in { type filter hook input priority filter; ct state invalid drop; }; }",
			);
			try {
				const syn = await probe(family, "--port", "80");
				assert.equal(syn.ok, true, "the first packet passes");
				const whole = await probe(family, "--port", "80", "--connect");
				assert.deepEqual([whole.ok, whole.outcome], [false, "handshake-ignored"]);
				assert.match(whole.found.join("\n"), /^SYN\+ACK came.*: no packet after the SYN was acknowledged$/);
				assert.match(whole.causes[0] ?? "", /^connection tracking on .* sees one side only/);
				assert.match(whole.next[0] ?? "", /raw PREROUTING/);
			} finally {
				server.run("nft", "delete table inet fw");
				rewriteIn("prerouting", "raw");
			}
		});

		it("distinguishes a rule for first packets from a service that hangs up", async () => {
			rewriteIn("prerouting", "raw", "tcp flags syn / syn,ack");
			try {
				const first = await probe(family, "--port", "80", "--connect");
				assert.deepEqual([first.ok, first.outcome], [false, "connection-reset"]);
				assert.match(first.causes.join("\n"), /^only the first packet is rewritten/);
			} finally {
				rewriteIn("prerouting", "raw");
			}
			const hung = await probe(family, "--port", "82", ...REQUEST);
			assert.deepEqual([hung.ok, hung.outcome], [false, "connection-reset"]);
			assert.match(hung.causes.join("\n"), /^the service closes connections/);
		});

		it("names the reflection of TOS", async () => {
			server.run("sysctl", "-qw", "net.ipv4.tcp_reflect_tos=1");
			try {
				const reflected = await probe(family, "--port", "80", "--connect");
				assert.equal(reflected.ok, true);
				assert.match(reflected.found.join("\n"), /^the answer carries DSCP 7 \(TOS 0x1c\) too$/m);
				assert.match(reflected.causes.join("\n"), /net\.ipv4\.tcp_reflect_tos/);
			} finally {
				server.run("sysctl", "-qw", "net.ipv4.tcp_reflect_tos=0");
			}
		});
	});
}

describe("a probe without an answer from the VIP", () => {
	it("names IP_PKTINFO if datagrams are rewritten and another address answers", async () => {
		const bound = await probe("ipv4", "--udp", "--port", "7", "--send", "a datagram");
		assert.deepEqual([bound.ok, bound.outcome], [false, "real-address"]);
		assert.deepEqual(bound.found, [
			`an echo with the same mark is answered by ${VIP.ipv4}: packets are rewritten`,
		]);
		assert.match(bound.causes.join("\n"), /\(IP_PKTINFO\)$/);
		assert.equal((await probe("ipv4", "--udp", "--port", "8")).ok, true);
	});

	it("names spoofing protection at the router behind the server", async () => {
		router.run("sysctl", "-qw", "net.ipv4.conf.far.rp_filter=1");
		try {
			const silent = await probe("ipv4", "--port", "80", "--connect");
			assert.deepEqual([silent.ok, silent.outcome], [false, "silence"]);
			assert.match(silent.found.join("\n"), /^without a mark, 10\.8\.1\.2 answers/);
			assert.match(silent.causes.join("\n"), /^spoofing protection .* uRPF at the first router after/m);
			assert.match(silent.next.join("\n"), /tcpdump -ni any src 192\.0\.2\.10/);
		} finally {
			router.run("sysctl", "-qw", "net.ipv4.conf.far.rp_filter=0");
		}
	});

	it("reports that it probes its own host", async () => {
		const { stdout } = await l3dsr(
			...["probe", "10.8.0.2", "--dscp", "7", "--vip", VIP.ipv4, "--icmp", "--json"],
		);
		const [report] = JSON.parse(stdout).targets;
		assert.equal(report.outcome, "real-address");
		assert.equal(report.found[0], "10.8.0.2 is an address of this host itself");
		assert.match(report.causes[0], /arrive on lo/);
	});
});

describe("probe", () => {
	for (const [what, argv, said] of [
		["an echo with a connection", ["--icmp", "--connect"], /an echo request has no --connect/],
		["data without a connection", ["--port", "80", "--send", "x"], /--send needs --connect/],
		[
			"data with an unknown escape",
			["--port", "80", "--connect", "--send", "\\q"],
			/--send: unknown escape \\q/,
		],
	] as const) {
		it(`refuses ${what}`, async () => {
			const { exitCode, stderr } = await l3dsr("probe", REAL.ipv4, "--dscp", "7", ...argv);
			assert.equal(exitCode, 2);
			assert.match(stderr, said);
		});
	}
});
