/**
 * Every change that an outsider can make to a host, and the state of others on it, for tests of commands and
 * of the agent: the interface is eth0, the services are those of {@link SERVICES}.
 */
import assert from "node:assert/strict";
import { asm, Program, tcxIngress } from "@l3dsr/bpf";
import type { NetInterface } from "@l3dsr/linux";
import { ip, run } from "../../../../../test/support/netns.ts";
import { runCommand } from "../dsrctl/transcript.ts";

const { exit, mov } = asm;

export const SERVICES = `services:
  - { vip: 192.0.2.10, name: web, dscp: 7 }
  - { vip: 192.0.2.11, name: dns, dscp: 9, protocol: udp, ports: 53, set-port: 5353 }
  - { vip: 192.0.2.13, name: quiet, dscp: 11 }
  - { vip: "2001:db8::10", name: web6, dscp: 7 }
  - { vip: 192.0.2.12, name: plain }
`;

/** Passes every packet to the next program. */
export function harmless(name: string): Program {
	return Program.load({
		name,
		type: "BPF_PROG_TYPE_SCHED_CLS",
		license: "GPL",
		instructions: [mov.imm(0, -1), exit()],
		maps: [],
	});
}

/** Creates other people's objects on this host. */
export function layOut(): void {
	run("nft", "flush", "ruleset");
	ip("addr flush dev lo scope global");
	run("nft", "add table inet theirs { chain c { type filter hook input priority 0; ip dscp 46 counter; }; }");
	run("nft", "add table ip theirs { set s { type ipv4_addr; elements = { 192.0.2.10 }; }; }");
	run("nft", "add table arp theirs { chain c { type filter hook input priority 10; }; }");
	ip("addr add 198.51.100.7/32 dev lo label lo:1");
	ip("addr add 2001:db8:7::7/128 dev lo");
}

/** Their state as the kernel prints it. */
export function foreignState(eth0: NetInterface, foreign: readonly Program[]): string {
	const tables = ["inet", "ip", "arp"].map((family) => run("nft", "-a", "list", "table", family, "theirs"));
	const ids = foreign.map(({ info }) => info.id);
	return [
		...tables,
		ip("-o addr show to 198.51.100.0/24"),
		ip("-o addr show to 2001:db8:7::/64"),
		ip("-o addr show dev eth0").replaceAll(/ tentative| *valid_lft.*/g, ""),
		run("tc", "-d", "filter", "show", "dev", "eth0", "ingress"),
		String(tcxIngress.query(eth0).flatMap(({ programId }) => (ids.includes(programId) ? [programId] : []))),
	].join("\n");
}

async function iptables(command: string): Promise<void> {
	// Beside an agent, which may be reading the host at that moment.
	const { exitCode, stderr } = await runCommand([...command.split(" "), "-w"], {});
	assert.equal(exitCode, 0, stderr);
}

export interface ForeignChange {
	readonly what: string;
	readonly act: () => unknown;
	/** Lines of diff, in this order. */
	readonly said: readonly RegExp[];
	/** Causes that diff names, the likeliest first. */
	readonly causes: readonly string[];
	/** More than one change, between which others may look. */
	readonly inSteps?: true;
	/** For changes that up has to follow instead of reverting: restores the original state. */
	readonly revert?: () => unknown;
}

const BY_HAND = "a manual command or a script: nft, tc, bpftool, iptables-daddr, dsrctl";
const BY_PROGRAM =
	"an interface that was deleted and created again has no eBPF program (a restart of the network, of a bridge, bond or VLAN); tc and bpftool can remove one too";
const BY_FLUSH =
	"nft flush ruleset deletes every table at once: /etc/nftables.conf begins with it, so a (re)start of nftables.service does this";
const BY_NETWORK =
	"the addresses of this host have changed (DHCP, VRRP, an operator); a reload of l3dsr picks that up";
const BY_IP = "a manual command or a script: ip address, ifdown lo, netplan apply, dsrctl stop";

/** A service's rule as `iptables-daddr -A` takes it; on eBPF with the interface. */
function ruleOf(datapath: string, name: string, code: number, vip: string): string {
	const via = datapath === "ebpf" ? "-i eth0 " : "";
	return `${via}-m dscp --dscp ${code} -m addrtype --dst-type LOCAL -m comment --comment l3dsr:${name} -j DADDR --set-daddr ${vip}`;
}

/** The nft map with the elements of this service, and the element, as nft prints them. */
function elementOf(name: string): { family: string; map: string; key: string; text: string } {
	for (const family of ["ip", "ip6"]) {
		let map = "";
		for (const line of run("nft", "list", "table", family, "l3dsr").split("\n")) {
			map = /map (\S+) \{/.exec(line)?.[1] ?? map;
			// Several elements may be on one line.
			const elements = line.split(/, (?=0x)|elements = \{ | \}$/);
			const text = elements.find((one) => one.includes(`'l3dsr:${name}'`))?.trim();
			if (text !== undefined) return { family, map, key: text.split(" ")[0] ?? "", text };
		}
	}
	throw new Error(`no element of ${name}`);
}

/** `foreign`: the programs of others at tcx of `eth0`. */
export function foreignChanges(
	datapath: "nft" | "ebpf",
	eth0: NetInterface,
	foreign: readonly Program[],
): ForeignChange[] {
	const missing = (...names: string[]) => names.map((name) => new RegExp(`^a rule of ${name} is missing$`));
	const own = () =>
		tcxIngress.query(eth0).filter(({ programId }) => !foreign.some(({ info }) => info.id === programId));
	const changes: ForeignChange[] = [
		{
			what: "a rule is removed",
			act: () => iptables(`iptables-daddr -D PREROUTING ${ruleOf(datapath, "web", 7, "192.0.2.10")}`),
			said: missing("web"),
			causes: [BY_HAND],
		},
		{
			what: "all rules of IPv4 are removed",
			act: () => iptables("iptables-daddr -F PREROUTING"),
			said: missing("web", "dns", "quiet"),
			causes: [BY_HAND],
		},
		{
			what: "a rule is duplicated",
			act: () => iptables(`iptables-daddr -A PREROUTING ${ruleOf(datapath, "web", 7, "192.0.2.10")}`),
			said: [/^a rule of web exists more than once$/],
			causes: [BY_HAND],
		},
		{
			what: "a rule of a service that is not configured is added",
			act: () => iptables(`iptables-daddr -A PREROUTING ${ruleOf(datapath, "old", 13, "192.0.2.10")}`),
			said: [/^a rule of old does not match its service$/],
			causes: [BY_HAND],
		},
		{
			what: "the rules of two VIPs are swapped",
			inSteps: true,
			act: async () => {
				await iptables(`iptables-daddr -R PREROUTING 1 ${ruleOf(datapath, "web", 7, "192.0.2.13")}`);
				await iptables(`iptables-daddr -R PREROUTING 3 ${ruleOf(datapath, "quiet", 11, "192.0.2.10")}`);
			},
			said: [
				/^a rule of web does not match its service$/,
				/^a rule of quiet does not match its service$/,
				...missing("web", "quiet"),
			],
			causes: [BY_HAND],
		},
		{
			what: "an address is removed",
			act: () => ip("addr del 192.0.2.12/32 dev lo"),
			said: [/^192\.0\.2\.12 on lo is not there$/],
			causes: [BY_IP],
		},
		{
			what: "an IPv6 address is removed",
			act: () => ip("addr del 2001:db8::10/128 dev lo"),
			said: [/^2001:db8::10 on lo is not there$/],
			causes: [BY_IP],
		},
		{
			what: "a VIP is added again, with a wider prefix",
			act: () => ip("addr add 192.0.2.12/24 dev lo"),
			said: [/^192\.0\.2\.12\/24 on lo covers more than the VIP, which is a \/32$/],
			causes: [BY_IP],
		},
		{
			what: "an IPv6 VIP gets a wider prefix",
			inSteps: true,
			act: () => {
				// In one process: an agent must not act in between.
				const commands = "addr del 2001:db8::10/128 dev lo\naddr add 2001:db8::10/64 dev lo nodad";
				run("sh", "-c", `echo '${commands}' | ip -batch -`);
			},
			said: [/^2001:db8::10\/64 on lo covers more than the VIP, which is a \/128$/],
			causes: [BY_IP],
		},
		{
			what: "the guard is removed",
			act: () => run("nft", "delete table arp l3dsr"),
			said: [/^table arp l3dsr is missing: ARP answers for 192\.0\.2\.10, .*192\.0\.2\.13$/],
			causes: datapath === "nft" ? [BY_HAND] : [BY_FLUSH, BY_HAND],
		},
		{
			what: "one VIP is removed from the guard",
			act: () => run("nft", "delete element arp l3dsr silent4 { 192.0.2.12 }"),
			said: [/^table arp l3dsr does not silence 192\.0\.2\.12: ARP answers for it$/],
			causes: [BY_NETWORK, BY_HAND],
		},
		{
			what: "one VIP is removed from the guard's memory",
			act: () => run("nft", "delete element arp l3dsr held4 { 192.0.2.12 }"),
			said: [/^table arp l3dsr does not hold 192\.0\.2\.12$/],
			causes: [BY_HAND],
		},
		{
			what: "the guard silences an address that is not a VIP",
			act: () => run("nft", "add element arp l3dsr silent4 { 10.0.0.2 }"),
			said: [/^table arp l3dsr silences 10\.0\.0\.2, which this host must answer for$/],
			causes: [BY_HAND],
		},
		{
			what: "a rule of the guard is removed",
			act: () => run("nft", "flush chain arp l3dsr input"),
			said: [/^table arp l3dsr has been altered$/],
			causes: [BY_HAND],
		},
		{
			what: "the rules that translate answers back are removed",
			act: () => run("nft", "flush chain ip l3dsr way_back"),
			said: [/^table ip l3dsr, chain way_back lacks its rule "ip saddr 192\.0\.2\.11 /],
			causes: [BY_HAND],
		},
		{
			what: "the chain that translates answers back is removed",
			act: () => run("nft", "flush chain ip l3dsr way_back; delete chain ip l3dsr way_back"),
			said: [
				/^table ip l3dsr, chain way_back is missing: answers of services with set-port leave from the wrong/,
			],
			causes: [BY_HAND],
		},
	];
	const onNft: ForeignChange[] = [
		{
			what: "a map element is removed",
			act: () => {
				const { family, map, key } = elementOf("web");
				run("nft", `delete element ${family} l3dsr ${map} { ${key} }`);
			},
			said: [/^table ip l3dsr, map raw_PREROUTING_1 /, /^a rule of web is missing$/],
			causes: [BY_HAND],
		},
		{
			what: "the elements of two VIPs are swapped",
			act: () => {
				const [web, quiet] = [elementOf("web"), elementOf("quiet")];
				const swapped = (text: string, from: string, to: string) =>
					text.slice(0, text.lastIndexOf(from)) + to;
				run(
					"nft",
					`delete element ip l3dsr ${web.map} { ${web.key} }
					delete element ip l3dsr ${quiet.map} { ${quiet.key} }
					add element ip l3dsr ${web.map} { ${swapped(web.text, "192.0.2.10", "192.0.2.13")} }
					add element ip l3dsr ${quiet.map} { ${swapped(quiet.text, "192.0.2.13", "192.0.2.10")} }`,
				);
			},
			said: [
				/^table ip l3dsr, map .* element 0x1c .*does not do what its comment says .*l3dsr:web/,
				/^table ip l3dsr, map .* element 0x2c .*does not do what its comment says .*l3dsr:quiet/,
				...missing("web", "quiet"),
			],
			causes: [BY_HAND],
		},
		{
			what: "the table is removed",
			act: () => run("nft", "delete table ip6 l3dsr"),
			said: missing("web6"),
			causes: [BY_HAND],
		},
	];
	const onEbpf: ForeignChange[] = [
		{
			what: "the program is removed",
			act: () => {
				for (const element of own()) tcxIngress.detach(eth0, element);
			},
			said: missing("web", "dns", "quiet", "web6"),
			causes: [BY_PROGRAM, BY_HAND],
		},
		{
			what: "another program replaces ours",
			act: () => {
				using intruder = harmless("intruder");
				const [element] = own();
				assert(element !== undefined);
				tcxIngress.replace(eth0, element, intruder);
			},
			said: missing("web", "dns", "quiet", "web6"),
			causes: [BY_PROGRAM, BY_HAND],
		},
		{
			what: "the table that translates answers back is removed",
			act: () => run("nft", "delete table ip l3dsr"),
			said: [/^table ip l3dsr is missing: answers of services with set-port leave from the wrong port/],
			causes: [BY_HAND],
		},
		{
			what: "the host gets an address that the program does not know",
			act: () => ip("addr add 10.0.0.3/24 dev eth0"),
			revert: () => ip("addr del 10.0.0.3/24 dev eth0"),
			said: [/program at tcx ingress of eth0 was created when this host had other addresses$/],
			causes: [BY_NETWORK],
		},
	];
	return [...changes, ...(datapath === "nft" ? onNft : onEbpf)];
}
