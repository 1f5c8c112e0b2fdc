/** Faults that are really made on a host: `l3dsr check` finds each, and each remedy works. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { tcxIngress } from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { enterNetns, ip, run } from "../../../../../test/support/netns.ts";
import { systemHost } from "../../../src/cli/iptables/host.ts";
import type { CheckFinding } from "../../../src/host/checks/check.ts";
import { runAs } from "../iptables/memory-host.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-check-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const server = createServer().listen(80, "::");
await once(server, "listening");
after(() => server.close());

function write(text: string): void {
	writeFileSync(config, text);
}

async function findings(): Promise<CheckFinding[]> {
	const { stdout, stderr, exitCode } = await l3dsr("check", "--json", "-c", config);
	assert.equal(stderr, "");
	const { findings: found } = JSON.parse(stdout);
	const errors = found.some(({ severity }: CheckFinding) => severity === "error");
	assert.equal(exitCode, errors ? 1 : 0);
	return found;
}

async function up(): Promise<void> {
	const { exitCode, stderr } = await l3dsr("up", "-c", config);
	assert.equal(exitCode, 0, stderr);
}

async function iptablesDaddr(...argv: string[]): Promise<void> {
	const { exitCode, stderr } = await runAs(systemHost(), "iptables-daddr", ...argv);
	assert.equal(exitCode, 0, stderr);
}

function sysctl(...settings: readonly string[]): void {
	run("sysctl", "-qw", ...settings);
}

/** A host with one network card, a default route over it, and nothing of ours. */
function layOut(): void {
	for (const name of ["eth0", "eth1"]) run("sh", "-c", `ip link del ${name} 2>/dev/null || true`);
	run("nft", "flush", "ruleset");
	ip("addr flush dev lo scope global");
	ip("link add eth0 type veth peer name peer0");
	ip("addr add 10.0.0.2/24 dev eth0");
	ip("link set eth0 up");
	ip("link set peer0 up");
	ip("route add default via 10.0.0.1 dev eth0");
	sysctl("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0");
}

beforeEach(layOut);

const WEB = "services: [{ vip: 192.0.2.10, name: web, dscp: 7, protocol: tcp, ports: 80 }]\n";
const NEIGHBOUR = WEB.replace("192.0.2.10", "10.0.0.100");

interface Case {
	readonly what: string;
	readonly file?: string;
	/** Makes the fault. */
	readonly act: () => unknown;
	readonly said: RegExp;
	/** The remedy's instruction. */
	readonly remedy: RegExp;
	readonly cure: () => unknown;
}

const CASES: readonly Case[] = [
	{
		what: "a VIP in a connected subnet that this host answers ARP for",
		file: NEIGHBOUR,
		act: () => ip("addr add 10.0.0.100/32 dev lo label lo:1"),
		said: /^error arp web \(10\.0\.0\.100\) is in the subnet of eth0, and this host answers ARP for it: two hosts claim the address$/,
		remedy: /^l3dsr up suppresses ARP for VIPs/,
		cure: up,
	},
	{
		what: "a VIP that a network card also has",
		file: NEIGHBOUR,
		act: async () => {
			ip("addr add 10.0.0.100/24 dev eth0");
			await up();
		},
		said: /^warning arp web \(10\.0\.0\.100\) is an address of eth0 too, and this host answers ARP for it there$/,
		remedy: /^ip address del 10\.0\.0\.100 dev eth0/,
		cure: async () => {
			ip("addr del 10.0.0.100/24 dev eth0");
			await up();
		},
	},
	{
		what: "a VIP that was added to a network card while the guard silences it, as with VRRP",
		file: NEIGHBOUR,
		act: async () => {
			await up();
			ip("addr add 10.0.0.100/24 dev eth0");
		},
		said: /^error arp web \(10\.0\.0\.100\) is an address of eth0, and the ARP guard keeps this host silent for it there: nobody can resolve it by ARP$/,
		remedy: /^l3dsr up: .* keepalived run l3dsr up$/,
		cure: up,
	},
	{
		what: "a VIP that was removed from a network card while the guard allows it there",
		file: NEIGHBOUR,
		act: async () => {
			ip("addr add 10.0.0.100/24 dev eth0");
			await up();
			ip("addr del 10.0.0.100/24 dev eth0");
		},
		said: /^error arp web \(10\.0\.0\.100\) is in the subnet of eth0, and this host answers ARP for it: two hosts claim the address$/,
		remedy: /^l3dsr up suppresses ARP for VIPs/,
		cure: up,
	},
	{
		what: "rules that were flushed",
		act: async () => {
			await up();
			for (const element of tcxIngress.query(interfaceByName("eth0")))
				tcxIngress.detach(interfaceByName("eth0"), element);
			run("nft", "flush", "ruleset");
		},
		said: /^error drift a rule of web is missing$/,
		remedy: /^l3dsr diff shows what up would change/,
		cure: up,
	},
	{
		what: "no route back to clients",
		act: () => ip("route del default"),
		said: /^warning way-back no route leads from 192\.0\.2\.10 to \S+ \(in 0\.0\.0\.0\/0\): those clients get no answer; routes lead to 10\.0\.0\.\d+ \(in 10\.0\.0\.0\/24\)$/,
		remedy: /^ip route add default via ROUTER/,
		cure: () => ip("route add default via 10.0.0.1 dev eth0"),
	},
	{
		what: "manual rules after connection tracking",
		act: async () => {
			const rule = "-t mangle -A INPUT -m dscp --dscp 9 -j DADDR --set-daddr 192.0.2.10";
			await iptablesDaddr(...rule.split(" "));
			run(
				"nft",
				"add table inet fw; add chain inet fw in { type filter hook input priority 0; }; add rule inet fw in ct state invalid drop",
			);
		},
		said: /^warning connection-tracking connection tracking is active.* and the DADDR rules of mangle INPUT come after it: /,
		remedy: /^iptables-daddr -t raw -A PREROUTING/,
		cure: () => iptablesDaddr("-t", "mangle", "-F", "INPUT"),
	},
	{
		what: "a VIP that is not on lo while its rules are in force",
		act: async () => {
			await up();
			ip("addr del 192.0.2.10/32 dev lo");
		},
		said: /^error vip-on-loopback web \(192\.0\.2\.10\) is not on lo: packets rewritten to it are forwarded or dropped$/,
		remedy: /^l3dsr up/,
		cure: up,
	},
	{
		what: "a VIP that is not on lo yet",
		act: () => {},
		said: /^note vip-on-loopback web \(192\.0\.2\.10\) is not on lo yet$/,
		remedy: /^l3dsr up/,
		cure: up,
	},
	{
		what: "strict reverse path filtering on an interface that does not lead back to the clients",
		act: () => {
			ip("link add eth1 type veth peer name peer1");
			ip("addr add 10.1.0.2/24 dev eth1");
			ip("link set eth1 up");
			sysctl("net.ipv4.conf.eth1.rp_filter=1");
		},
		said: /^warning reverse-path packets from \S+ \(in 0\.0\.0\.0\/0\), 10\.0\.0\.7 \(in 10\.0\.0\.0\/24\) that arrive on eth1 are dropped by reverse path filtering \(rp_filter 1\): answers to them leave by eth0$/,
		remedy: /^sysctl -w net\.ipv4\.conf\.eth1\.rp_filter=2 \(loose\)/,
		cure: () => sysctl("net.ipv4.conf.eth1.rp_filter=2"),
	},
	{
		what: "strict reverse path filtering on all interfaces, without a default route",
		act: () => {
			ip("route del default");
			sysctl("net.ipv4.conf.all.rp_filter=1");
		},
		said: /^warning reverse-path packets from .* that arrive on eth0 are dropped .*: no route leads back to them$/,
		remedy: /^add a route to the clients/,
		cure: () => ip("route add default via 10.0.0.1 dev eth0"),
	},
	{
		what: "a code that is also a class of voice traffic",
		file: WEB.replace("dscp: 7", "dscp: EF"),
		act: () => {},
		said: /^warning dscp-class web \(192\.0\.2\.10\) selects DSCP 46 \(TOS 0xb8\), which is also EF, voice \(RFC 3246\)$/,
		remedy: /^choose a code that the network does not use, on the director too$/,
		cure: () => write(WEB),
	},
	{
		what: "a code that this host sets for a traffic class",
		act: () =>
			run(
				"nft",
				"add table ip qos; add chain ip qos out { type filter hook postrouting priority 0; }; add rule ip qos out tcp dport 22 ip dscp set 7",
			),
		said: /^warning dscp-class web \(192\.0\.2\.10\) selects DSCP 7 \(TOS 0x1c\), which table ip qos, chain out writes for a class of its own$/,
		remedy: /^choose another code/,
		cure: () => write(WEB.replace("dscp: 7", "dscp: 9")),
	},
	{
		what: "another rule of this host that changes the DSCP before the services' rules, in netfilter",
		file: `table: mangle\ndatapath: nft\n${WEB}`,
		act: () =>
			run(
				"nft",
				"add table inet qos; add chain inet qos in { type filter hook prerouting priority -200; }; add rule inet qos in ip saddr 203.0.113.1 ip dscp set 0",
			),
		said: /^error dscp-remarked table inet qos, chain in \(prerouting\) writes DSCP before the rules of services see it: codes may be lost$/,
		remedy: /move it after them \(a priority above that of the table\)/,
		cure: () =>
			run(
				"nft",
				"delete table inet qos; add table inet qos; add chain inet qos in { type filter hook prerouting priority -100; }; add rule inet qos in ip saddr 203.0.113.1 ip dscp set 0",
			),
	},
	{
		what: "another rule that changes the DSCP at the interface",
		file: `datapath: nft\n${WEB}`,
		act: () =>
			run(
				"nft",
				'add table netdev qos; add chain netdev qos in { type filter hook ingress device "eth0" priority 0; }; add rule netdev qos in ip dscp set 0',
			),
		said: /^error dscp-remarked table netdev qos, chain in \(ingress\) writes DSCP before/,
		remedy: /^exclude the services' codes from that rule/,
		cure: () => run("nft", "delete table netdev qos"),
	},
	{
		what: "a rule that changes the DSCP in a chain that others jump to",
		file: `datapath: nft\n${WEB}`,
		act: () =>
			run(
				"nft",
				"add table ip qos; add chain ip qos voice; add rule ip qos voice ip dscp set 0; add chain ip qos in { type filter hook prerouting priority -310; }; add rule ip qos in jump voice",
			),
		said: /^error dscp-remarked table ip qos, chain voice \(prerouting\) writes DSCP before/,
		remedy: /^exclude the services' codes from that rule/,
		cure: () => run("nft", "delete table ip qos"),
	},
	{
		what: "a rule of iptables-legacy that changes the DSCP",
		file: `table: mangle\ndatapath: nft\n${WEB}`,
		act: () =>
			run("iptables-legacy", ..."-t mangle -A PREROUTING -s 203.0.113.1 -j DSCP --set-dscp 0".split(" ")),
		said: /^error dscp-remarked table ip mangle of iptables-legacy, chain PREROUTING \(prerouting\) writes DSCP before/,
		remedy: /^exclude the services' codes from that rule/,
		cure: () => run("iptables-legacy", ..."-t mangle -F".split(" ")),
	},
	{
		what: "a firewall that drops packets without a route back",
		act: () => {
			ip("link add eth1 type veth peer name peer1");
			ip("addr add 10.1.0.2/24 dev eth1");
			ip("link set eth1 up");
			run(
				"nft",
				"add table inet fw; add chain inet fw pre { type filter hook prerouting priority -150; }; add rule inet fw pre fib saddr . iif oif missing drop",
			);
		},
		said: /^warning reverse-path table inet fw, chain pre drops packets whose sender is not routed back .* that arrive on eth1, unless/,
		remedy: /^remove that rule, or exempt eth1/,
		cure: () => run("nft", "delete table inet fw"),
	},
	{
		what: "an interface with a real address and no program",
		act: async () => {
			await up();
			ip("link add eth1 type veth peer name peer1");
			ip("addr add 10.1.0.2/24 dev eth1");
			ip("link set eth1 up");
		},
		said: /^warning interfaces eth1 has the address 10\.1\.0\.2 and no rule of a service: packets that directors send there are not rewritten$/,
		remedy: /^l3dsr up, or name eth1 in interfaces/,
		cure: up,
	},
	{
		what: "an interface whose program was detached",
		act: async () => {
			ip("link add eth1 type veth peer name peer1");
			ip("addr add 10.1.0.2/24 dev eth1");
			ip("link set eth1 up");
			await up();
			const eth1 = interfaceByName("eth1");
			for (const element of tcxIngress.query(eth1)) tcxIngress.detach(eth1, element);
		},
		said: /^warning interfaces eth1 has the address 10\.1\.0\.2 and no rule of a service/,
		remedy: /^l3dsr up/,
		cure: up,
	},
	{
		what: "a missing interface of the file",
		file: `interfaces: [eth0, eth7]\n${WEB}`,
		act: () => {},
		said: /^error interfaces the configuration names interface eth7, which this host does not have$/,
		remedy: /^name one of .*eth0.*, or leave interfaces out$/,
		cure: () => write(WEB),
	},
	{
		what: "a datapath that cannot run the configured rules",
		file: `datapath: ebpf\n${WEB.replace("dscp: 7", "interface: eth+")}`,
		act: () => {},
		said: /^error datapath up will refuse to put rule .*: -i eth\+ includes future interfaces$/,
		remedy: /^set datapath: auto or nft for rules like this$/,
		cure: () => write(WEB.replace("dscp: 7", "interface: eth+")),
	},
	{
		what: "connection tracking that sees one direction of each flow",
		file: `table: mangle\ndatapath: nft\n${WEB}`,
		act: () => {
			run(
				"nft",
				"add table inet fw; add chain inet fw in { type filter hook input priority 0; }; add rule inet fw in ct state new counter",
			);
			run("ping", "-c1", "10.0.0.2");
		},
		said: /^warning connection-tracking connection tracking is active \([0-9]+ entr(y|ies)\) and table mangle comes after it/,
		remedy: /^table: raw, which comes before connection tracking$/,
		cure: () => write(`table: raw\ndatapath: nft\n${WEB}`),
	},
	{
		what: "a VIP on which nothing listens at the packets' new port",
		file: WEB.replace("ports: 80", "ports: 80, set-port: 8080"),
		act: () => {},
		said: /^warning listeners nothing listens on web \(192\.0\.2\.10\) port 8080: clients are refused$/,
		remedy: /^start the server; it must listen on the VIP or on all addresses$/,
		cure: () => write(WEB),
	},
	{
		what: "XDP on a device whose packets may come without their checksum",
		file: `hook: xdp\n${WEB}`,
		act: () => {},
		said: /^error xdp XDP on eth0 \(veth\) is refused: packets may arrive there without their checksum/,
		remedy: /^hook: tc; or open-checksums: accept/,
		cure: () => write(`hook: tc\n${WEB}`),
	},
	{
		what: "generic XDP",
		file: `hook: xdp-generic\nopen-checksums: accept\n${WEB}`,
		act: () => {},
		said: /^warning xdp generic XDP on eth0 runs after the buffer is built/,
		remedy: /^hook: tc, unless this is a test$/,
		cure: () => write(WEB),
	},
	{
		what: "native XDP with jumbo frames",
		file: `hook: xdp\nopen-checksums: accept\n${WEB}`,
		act: () => ip("link set eth0 mtu 9000"),
		said: /^error xdp eth0 has an MTU of 9000: most drivers refuse native XDP above 3498$/,
		remedy: /^hook: tc, or a smaller MTU$/,
		cure: () => ip("link set eth0 mtu 1500"),
	},
	{
		what: "one name for two VIPs",
		file: `${WEB.trimEnd().slice(0, -1)}, { vip: 192.0.2.11, name: web, dscp: 9 }]\n`,
		act: () => {},
		said: /^note names web is the name of 192\.0\.2\.10 and of 192\.0\.2\.11: /,
		remedy: /^give each service its own name$/,
		cure: () => write(`${WEB.trimEnd().slice(0, -1)}, { vip: 192.0.2.11, name: other, dscp: 9 }]\n`),
	},
];

for (const { what, file = WEB, act, said, remedy, cure } of CASES) {
	test(`explains ${what}, and the remedy works`, async () => {
		write(file);
		await act();
		const text = ({ severity, check, message }: CheckFinding) => `${severity} ${check} ${message}`;
		const found = await findings();
		const finding = found.find((one) => said.test(text(one)));
		assert(finding !== undefined, found.map(text).join("\n"));
		assert.match(finding.remedy, remedy);
		const human = (await l3dsr("check", "-c", config)).stdout;
		assert(human.includes(`${finding.severity}[${finding.check}]: ${finding.message}\n`));
		assert(human.includes(`remedy: ${finding.remedy}\n`));
		await cure();
		const left = (await findings()).map(text);
		assert(!left.some((line) => said.test(line)), left.join("\n"));
	});
}

const QUESTIONS = `question: does the network let packets from 192.0.2.10 leave by eth0 (uRPF of the first router, port security, the source check of a cloud)? To find out: l3dsr probe on a director, against this host
question: do ICMP errors for 192.0.2.10 (fragmentation needed, packet too big) reach this host from the director? To find out: l3dsr probe --connect --send on a director, for an answer larger than one packet
`;

test("reports nothing on a healthy host, on either datapath", async () => {
	for (const datapath of ["ebpf", "nft"]) {
		write(`datapath: ${datapath}\n${WEB}`);
		await up();
		assert.deepEqual(await l3dsr("check", "-c", config), {
			exitCode: 0,
			stdout: `${QUESTIONS}${config}: 1 service; no fault found on this host\n`,
			stderr: "",
		});
	}
});

test("changes nothing", async () => {
	write(NEIGHBOUR);
	const state = () =>
		run("nft", "list", "ruleset") + ip("-o addr") + run("sysctl", "-a", "-r", "net.ipv4.conf");
	const before = state();
	await findings();
	assert.equal(state(), before);
});

test("reports the same finding of many services once, and checks the file without root", async () => {
	const many = Array.from(
		{ length: 60 },
		(_, index) => `  - { vip: 192.0.2.${index + 1}, dscp: ${index + 1}, protocol: tcp, ports: 81 }`,
	);
	write(`services:\n${many.join("\n")}\n`);
	const { stdout, exitCode } = await l3dsr("check", "-c", config);
	assert.equal(exitCode, 0);
	assert.match(
		stdout,
		/^note\[vip-on-loopback\]: 192\.0\.2\.1, 192\.0\.2\.2, 192\.0\.2\.3 and 57 more: is not on lo yet$/m,
	);
	assert.match(stdout, /^warning\[listeners\]: nothing listens on /m);
	assert.ok(stdout.split("\n").length < 30, stdout);
	const whole: readonly CheckFinding[] = await findings();
	assert.equal(whole.filter(({ check }) => check === "vip-on-loopback").length, 60);
});
