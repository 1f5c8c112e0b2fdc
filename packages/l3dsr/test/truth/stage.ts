/**
 * Clients, a director that is also a router, and random real servers, each in a namespace. All but a few
 * addresses of the Internet belong to the clients. Packets from client ports 20,000 and above go to the
 * server's eth1.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { Netns } from "../../../../test/support/netns.ts";
import type { Card, Host, Listening } from "./host.ts";
import type { Listener, Outcome, Question } from "./peer.ts";

export const PORT = 8000;
export const CODE = 7;
export const VIP6 = "2001:db8:a::10";
export const FAMILIES = ["ipv4", "ipv6"] as const;
export type Family = (typeof FAMILIES)[number];

/** The server's own addresses. */
export const REAL: Readonly<Record<Card, Readonly<Record<Family, string>>>> = {
	eth0: { ipv4: "10.1.0.2", ipv6: "2001:db8:1::2" },
	eth1: { ipv4: "10.2.0.2", ipv6: "2001:db8:2::2" },
};
/** The director's addresses in the subnets of the server. */
export const DIRECTOR: typeof REAL = {
	eth0: { ipv4: "10.1.0.1", ipv6: "2001:db8:1::1" },
	eth1: { ipv4: "10.2.0.1", ipv6: "2001:db8:2::1" },
};

export function vipsOf({ onSegment }: Host): Readonly<Record<Family, string>> {
	return { ipv4: onSegment ? "10.1.0.100" : "192.0.2.10", ipv6: VIP6 };
}

const PEER = join(import.meta.dirname, "peer.ts");

/** A process in a namespace that sends requests, or answers. */
class Peer implements Disposable {
	readonly #child: ChildProcess;
	readonly #lines: Interface;
	readonly #gone = new AbortController();

	constructor(netns: Netns) {
		this.#child = netns.spawn(process.execPath, PEER);
		this.#child.stderr?.pipe(process.stderr);
		this.#child.once("exit", () => this.#gone.abort());
		const { stdout } = this.#child;
		if (stdout === null) throw new Error("a peer has a stdout");
		this.#lines = createInterface(stdout);
	}

	async tell(what: object): Promise<Outcome[]> {
		const line = once(this.#lines, "line", { signal: this.#gone.signal });
		this.#child.stdin?.write(`${JSON.stringify(what)}\n`);
		const [text] = (await line) as [string]; // the event's documented argument
		return JSON.parse(text);
	}

	[Symbol.dispose](): void {
		this.#child.kill("SIGKILL");
	}
}

/** Clients and director; real servers are added and removed. */
export class Stage implements Disposable {
	readonly clients = new Netns("clients");
	readonly director = new Netns("director");
	readonly #asClient: Peer;
	readonly #asDirector: Peer;
	#port = 0;

	constructor() {
		const { clients, director } = this;
		shell(
			director,
			`sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.all.accept_dad=0 \\
				net.ipv6.conf.default.accept_dad=0 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
			ip link add out type veth peer name near netns ${clients.name}
			ip address add 10.9.0.1/24 dev out; ip address add 2001:db8:9::1/64 dev out nodad; ip link set out up`,
		);
		shell(
			clients,
			`sysctl -qw net.ipv6.conf.near.accept_dad=0 net.ipv6.ip_nonlocal_bind=1
			ip address add 10.9.0.2/24 dev near; ip address add 2001:db8:9::2/64 dev near nodad; ip link set near up
			ip rule add fwmark 1 lookup 1 # with a rule of its own, a kernel keeps the table local apart, and "throw" works
			ip route add local default dev lo; ip -6 route add local default dev lo
			for net in 192.0.2.0/24 10.1.0.100 10.1.0.2 10.2.0.2 10.9.0.0/24; do
				ip route add throw $net table local; done
			for net in 2001:db8:a::/64 2001:db8:1::2 2001:db8:2::2 2001:db8:9::/64 fe80::/10; do
				ip -6 route add throw $net table local; done
			ip route add default via 10.9.0.1 dev near; ip -6 route add default via 2001:db8:9::1`,
		);
		shell(director, "ip route add default via 10.9.0.2; ip -6 route add default via 2001:db8:9::2");
		this.#asClient = new Peer(clients);
		this.#asDirector = new Peer(director);
	}

	/** A client port whose packets the director sends to this interface; each is used once. */
	#portFor(card: Card): number {
		this.#port = (this.#port + 1) % 9000;
		return (card === "eth0" ? 10_000 : 20_000) + this.#port;
	}

	/**
	 * Sends requests to real servers through the director, all at once; `patiently`: with seconds for each
	 * answer.
	 */
	async ask(
		questions: readonly (Omit<Question, "fromPort" | "port"> & { readonly card: Card })[],
		where: "clients" | "director",
		patiently: boolean,
	): Promise<Outcome[]> {
		const ask = questions.map(({ card, ...question }) => {
			return { ...question, port: PORT, fromPort: this.#portFor(card) };
		});
		const peer = where === "clients" ? this.#asClient : this.#asDirector;
		return await peer.tell({ ask, timeoutMs: patiently ? 3000 : 600 });
	}

	/** The addresses that some host on the segment of eth0 answers for, by ARP or neighbour discovery. */
	claimed(addresses: readonly string[]): string[] {
		const pings = addresses.map((address) => `ping -c 1 -W 0.3 -I eth0 ${address} > /dev/null &`);
		shell(this.director, `ip neighbour flush dev eth0; ${pings.join(" ")} wait`);
		return addresses.filter((address) =>
			/lladdr/.test(this.director.ip(`neighbour show ${address} dev eth0`)),
		);
	}

	[Symbol.dispose](): void {
		for (const one of [this.#asClient, this.#asDirector, this.director, this.clients]) one[Symbol.dispose]();
	}
}

/** A namespace with everything that it needs from the host. */
export class RealServer implements Disposable {
	readonly netns = new Netns("real");
	readonly #peer: Peer;

	private constructor() {
		this.#peer = new Peer(this.netns);
	}

	/** Creates and starts the host; `file` gets its configuration. */
	static async start(host: Host, stage: Stage, file: string, command: string): Promise<RealServer> {
		const server = new RealServer();
		try {
			await server.#make(host, stage, file, command);
			return server;
		} catch (error) {
			server[Symbol.dispose]();
			throw error;
		}
	}

	async #make(host: Host, stage: Stage, file: string, command: string): Promise<void> {
		const { netns } = this;
		shell(stage.director, wires(host, netns));
		shell(netns, before(host));
		await this.#peer.tell({
			listen: [...listeners("tcp", host.tcp, host), ...listeners("udp", host.udp, host)],
		});
		writeFileSync(file, configuration(host));
		shell(netns, `${command} up -c ${file} > /dev/null`);
		shell(netns, after(host));
		shell(netns, firewall(host));
	}

	/** Packets that reverse path filtering has dropped. */
	reversePathDrops(): number {
		return Number(
			/IPReversePathFilter\s+(\d+)/.exec(this.netns.run("nstat", "-asz", "TcpExtIPReversePathFilter"))?.[1],
		);
	}

	[Symbol.dispose](): void {
		this.#peer[Symbol.dispose]();
		this.netns[Symbol.dispose]();
	}
}

function shell(netns: Netns, script: string): void {
	netns.run("sh", "-ec", script);
}

/** In the director: links to the server, and the rules that mark. */
function wires(host: Host, { name }: Netns): string {
	const { ipv4, ipv6 } = vipsOf(host);
	const marks = (card: Card) => `
		meta l4proto { tcp, udp } th sport ${card === "eth0" ? "10000-19999" : "20000-29999"} \\
			ip daddr ${ipv4} ip dscp set ${CODE} ip daddr set ${REAL[card].ipv4}
		meta l4proto { tcp, udp } th sport ${card === "eth0" ? "10000-19999" : "20000-29999"} \\
			ip6 daddr ${ipv6} ip6 dscp set ${CODE} ip6 daddr set ${REAL[card].ipv6}`;
	const rules = `${marks("eth0")}${marks("eth1")}`;
	return `
		for card in eth0 eth1; do ip link delete $card 2> /dev/null || true
			ip link add $card type veth peer name $card netns ${name}
			sysctl -qw net.ipv4.conf.$card.proxy_arp=1 net.ipv4.neigh.$card.proxy_delay=0; done
		ip address add 10.1.0.1/24 dev eth0; ip address add 2001:db8:1::1/64 dev eth0 nodad
		ip address add 10.2.0.1/24 dev eth1; ip address add 2001:db8:2::1/64 dev eth1 nodad
		ip link set eth0 up; ip link set eth1 up
		ip route replace 10.1.0.7 via 10.9.0.2; ip route replace 10.2.0.7 via 10.9.0.2
		ip route replace ${ipv4} dev eth0 src 10.1.0.1; ip -6 route replace ${ipv6} dev eth0 src 2001:db8:1::1
		nft 'table inet marks; delete table inet marks; table inet marks {
			chain forwarded { type filter hook prerouting priority raw; ${rules}
			}
			chain own { type route hook output priority raw; ${rules}
			}; }'`;
}

/** In the server, before up. */
function before(host: Host): string {
	const { ipv4, ipv6 } = vipsOf(host);
	const routes: Readonly<Record<Host["defaultRoute"], string>> = {
		eth0: "ip route add default via 10.1.0.1",
		eth1: "ip route add default via 10.2.0.1",
		metrics: "ip route add default via 10.1.0.1 metric 200; ip route add default via 10.2.0.1 metric 100",
		halves: `ip route add default via 10.1.0.1; ip route add 0.0.0.0/1 via 10.2.0.1
			ip route add 128.0.0.0/1 via 10.2.0.1`,
		none: "",
	};
	const network = (where: Host["network"]) =>
		where === "none"
			? ""
			: where === "blackhole"
				? "ip route add blackhole 172.20.0.0/16"
				: `ip route add 172.20.0.0/16 via ${DIRECTOR[where].ipv4}`;
	const policy = (what: Host["policy"]) =>
		what === "none"
			? ""
			: what === "mark"
				? "ip route add blackhole default table 100; ip rule add fwmark 1 lookup 100"
				: `ip route add ${what === "blackhole" ? "blackhole default" : `default via ${DIRECTOR[what].ipv4}`} table 100
					ip rule add from ${ipv4} lookup 100`;
	const held: Readonly<Record<Host["vips"], string>> = {
		up: "",
		lo: `ip address add ${ipv4}/32 dev lo; ip address add ${ipv6}/128 dev lo nodad`,
		wide: `ip address add ${ipv4}/30 dev lo; ip address add ${ipv6}/128 dev lo nodad`,
		other: `ip tuntap add other0 mode tun; ip link set other0 up
			ip address add ${ipv4}/32 dev other0; ip address add ${ipv6}/128 dev other0 nodad`,
		eth0: `ip address add ${ipv4}/32 dev eth0; ip address add ${ipv6}/128 dev eth0 nodad`,
	};
	return `
		sysctl -qw net.ipv4.ip_nonlocal_bind=1 net.ipv6.ip_nonlocal_bind=1 net.ipv4.icmp_ratelimit=0 \\
			net.ipv6.icmp.ratelimit=0 net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.eth1.accept_dad=0 \\
			net.ipv4.tcp_reflect_tos=${host.reflectTos ? 1 : 0} net.ipv4.conf.eth0.arp_ignore=${host.arpIgnore}
		ip address add 10.1.0.2/24 dev eth0; ip address add 2001:db8:1::2/64 dev eth0 nodad
		ip address add 10.2.0.2/24 dev eth1; ip address add 2001:db8:2::2/64 dev eth1 nodad
		ip link set eth0 up; ip link set eth1 up
		${routes[host.defaultRoute]}
		ip -6 route add default via 2001:db8:1::1
		${network(host.network)}
		${policy(host.policy)}
		${held[host.vips]}
		sysctl -qw net.ipv4.conf.all.rp_filter=${host.rpFilter.all} net.ipv4.conf.eth0.rp_filter=${host.rpFilter.eth0} \\
			net.ipv4.conf.eth1.rp_filter=${host.rpFilter.eth1}`;
}

function configuration(host: Host): string {
	const protocols = host.ports === "protocols" ? ", protocol: [tcp, udp]" : "";
	const ports = host.ports === "all" ? "" : `${protocols}, ports: ${PORT}`;
	const { ipv4, ipv6 } = vipsOf(host);
	return `datapath: ${host.datapath}
table: ${host.table}
services:
  - { name: four, vip: ${ipv4}, dscp: ${CODE}${ports} }
  - { name: six, vip: "${ipv6}", dscp: ${CODE}${ports} }
`;
}

function listeners(protocol: "tcp" | "udp", listening: Listening, host: Host): Listener[] {
	const at = (...addresses: readonly string[]): Listener[] =>
		addresses.map((address) => ({ protocol, address, port: PORT }));
	switch (listening) {
		case "vips":
			return at(...Object.values(vipsOf(host)), ...Object.values(REAL.eth0));
		case "any":
			return at("0.0.0.0", "::");
		case "both":
			return at("::").map((one) => ({ ...one, both: true }));
		case "ipv6":
			return at("::");
		case "real":
			return at(...Object.values(REAL.eth0), ...Object.values(REAL.eth1));
		case "other":
			return at("0.0.0.0", "::").map((one) => ({ ...one, port: 8001 }));
		case "none":
			return [];
	}
}

function firewall(host: Host): string {
	const { ipv4, ipv6 } = vipsOf(host);
	const chain = (hook: string, priority: number | string, ...rules: readonly string[]) =>
		`nft 'table inet fw { chain one { type filter hook ${hook} priority ${priority}; ${rules.join("; ")}; }; }'`;
	switch (host.firewall) {
		case "none":
			return "";
		case "drop":
			return chain("input", "filter", `meta l4proto { tcp, udp } th dport ${PORT} drop`);
		case "drop-answers":
			return chain("output", "filter", `ip saddr ${ipv4} drop`, `ip6 saddr ${ipv6} drop`);
		case "invalid":
			return chain("input", "filter", "ct state invalid drop");
		case "fib-strict":
			return chain("prerouting", -290, "fib saddr . iif oif missing drop");
		case "fib-loose":
			return chain("prerouting", -290, "fib saddr oif missing drop");
		case "remark":
			return chain("prerouting", -310, `ip dscp ${CODE} ip dscp set 0`, `ip6 dscp ${CODE} ip6 dscp set 0`);
		case "redirect":
			return `nft 'table inet fw { chain one { type nat hook prerouting priority dstnat;
				tcp dport ${PORT} redirect to :8001; udp dport ${PORT} redirect to :8001; }; }'`;
		case "legacy-drop":
			return `iptables-legacy -A INPUT -p tcp --dport ${PORT} -j DROP; ip6tables-legacy -A INPUT -p tcp --dport ${PORT} -j DROP`;
		case "legacy-rpfilter":
			return "iptables-legacy -t raw -A PREROUTING -m rpfilter --invert -j DROP";
	}
}

/** The change of the server after up. */
function after(host: Host): string {
	const { ipv4, ipv6 } = vipsOf(host);
	switch (host.change) {
		case "none":
			return "";
		case "flush":
			return "nft flush ruleset";
		case "address":
			return `ip address del ${ipv4}/32 dev lo 2> /dev/null || true; ip address del ${ipv6}/128 dev lo 2> /dev/null || true`;
		case "guard":
			return "nft delete table arp l3dsr";
		case "bounce":
			return "ip link set eth0 down; ip link set eth0 up";
		case "lo-down":
			return "ip link set lo down";
	}
}
