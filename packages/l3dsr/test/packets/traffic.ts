/**
 * Real TCP and UDP through a director to this namespace, as in L3DSR.
 *
 *     client ── director ── this namespace (in0) [── guest]
 *
 * The client sends to a VIP. The director, which is the router of both, rewrites the destination to the real
 * server's address and sets the VIP's DSCP. The test sets up the reverse rewrite here, on `in0`. The VIPs are
 * on this namespace's loopback or, with `behind`, on that of a guest to which this host forwards; answers go
 * directly back.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { attribute, IFINFOMSG, interfaceByName, Netlink, RTM_SETLINK, u32Value } from "@l3dsr/linux";
import { type Family, parseAddress } from "@l3dsr/packet";
import { ip, Netns, run } from "../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../test/support/node.ts";

export type TrafficRequest =
	| { readonly act: "serve"; readonly address: string; readonly port: number }
	| {
			readonly act: "tcp";
			readonly address: string;
			readonly port: number;
			readonly bytes: number;
			readonly timeoutMs: number;
	  }
	| {
			readonly act: "udp";
			readonly address: string;
			readonly port: number;
			/** Size of each datagram. */
			readonly bytes: number;
			readonly count: number;
			readonly timeoutMs: number;
	  };

export interface TrafficReply {
	/** Streams or datagrams that arrived unchanged, according to the receiver's answer. */
	readonly intact: number;
	/** The address that answered. */
	readonly peer: string;
	readonly error?: string;
}

/**
 * How packets arrive. `pending`: in large unsplit segments with a pending checksum, as from the same host;
 * `big`: the same in segments of more than 65,535 bytes (BIG TCP); `plain`: in wire size with their
 * checksums; `merged`: as plain, then merged by GRO on arrival.
 */
export type OffloadState = "pending" | "big" | "plain" | "merged";

export const TRAFFIC_INTERFACE = "in0";
export const REAL_SERVER = { ipv4: "192.0.2.10", ipv6: "2001:db8:a::10" } as const;

export interface TrafficOptions {
	/** Each VIP, and the DSCP that the director sets for it. */
	readonly vips: readonly { readonly vip: string; readonly dscp: number }[];
	readonly offloads?: OffloadState;
	/** The VIPs are a guest's, behind this host. */
	readonly behind?: boolean;
}

const PORT = 7000;
const GRO_WAIT_NS = 200_000;

/** In a file that begins with `enterNetns()`: `await using traffic = await Traffic.open({ … })`. */
export class Traffic implements AsyncDisposable {
	readonly #namespaces: Netns[];
	readonly #peers: { readonly client: Peer; readonly server: Peer };

	private constructor(namespaces: Netns[], peers: { readonly client: Peer; readonly server: Peer }) {
		this.#namespaces = namespaces;
		this.#peers = peers;
	}

	static async open(options: TrafficOptions): Promise<Traffic> {
		const { vips, offloads = "pending", behind = false } = options;
		const client = new Netns("client");
		const director = new Netns("director");
		const guest = behind ? new Netns("guest") : undefined;
		const namespaces = guest === undefined ? [client, director] : [client, director, guest];
		routeOnly();
		for (const netns of namespaces) routeOnly(netns);

		const big = offloads === "big";
		join({ netns: client, name: "c0", host: 1 }, { netns: director, name: "d0", host: 254 }, "client", big);
		join({ netns: director, name: "d1", host: 254 }, { name: TRAFFIC_INTERFACE, host: 10 }, "server", big);
		for (const [netns, prefix] of [
			[client, "client"],
			[undefined, "server"],
		] as const) {
			addDefaultRoute(netns, prefix, 254);
		}
		if (guest !== undefined) {
			join({ name: "out0", host: 254 }, { netns: guest, name: "g0", host: 2 }, "guest", big);
			addDefaultRoute(guest, "guest", 254);
		}
		for (const { vip, dscp } of vips) {
			const family = familyOf(vip);
			const address = `address add ${vip} dev lo${family === "ipv6" ? " nodad" : ""}`;
			if (guest === undefined) ip(address);
			else {
				guest.ip(address);
				ip(`route add ${vip} via ${addressIn("guest", family, 2)}`);
			}
			markInDirector(director, vip, family, dscp);
		}
		setOffloads(offloads, client, director);

		const peers = { client: new Peer(client), server: new Peer(guest) };
		for (const { vip } of vips) await peers.server.ask({ act: "serve", address: vip, port: PORT });
		return new Traffic(namespaces, peers);
	}

	/** One stream of `bytes` to the VIP; `intact` is 1 if all of them arrived. */
	tcp(vip: string, bytes: number, timeoutMs = 3000): Promise<TrafficReply> {
		return this.#peers.client.ask({ act: "tcp", address: vip, port: PORT, bytes, timeoutMs });
	}

	/** Datagrams one by one; those larger than 1472 bytes (IPv6: 1452) are sent as fragments. */
	udp(vip: string, bytes: number, count = 1, timeoutMs = 1000): Promise<TrafficReply> {
		return this.#peers.client.ask({ act: "udp", address: vip, port: PORT, bytes, count, timeoutMs });
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await Promise.all([this.#peers.client.end(), this.#peers.server.end()]);
		ip(`link delete ${TRAFFIC_INTERFACE}`);
		if (this.#namespaces.length > 2) ip("link delete out0");
		for (const netns of this.#namespaces) netns[Symbol.dispose]();
		run("ip", "address", "flush", "dev", "lo", "scope", "global");
	}
}

/** A `traffic-peer.ts`, in a namespace or here. */
class Peer {
	readonly #child: ChildProcess;
	readonly #lines: AsyncIterator<string>;

	constructor(netns?: Netns) {
		const script = fileURLToPath(new URL("./traffic-peer.ts", import.meta.url));
		const command = [process.execPath, ...FROM_SOURCE, script] as const;
		this.#child = netns === undefined ? spawnHere(command) : netns.spawn(...command);
		if (this.#child.stdout === null) throw new Error("the peer has no stdout");
		this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
	}

	async ask(request: TrafficRequest): Promise<TrafficReply> {
		this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
		const { value, done } = await this.#lines.next();
		if (done) throw new Error(`the peer ended: ${String(this.#child.stderr?.read() ?? "")}`);
		const reply = JSON.parse(value) as TrafficReply; // the output of traffic-peer.ts
		if (request.act === "serve" && reply.error !== undefined) throw new Error(reply.error);
		return reply;
	}

	async end(): Promise<void> {
		if (this.#child.exitCode !== null) return;
		this.#child.stdin?.end();
		await once(this.#child, "exit");
	}
}

function spawnHere([program, ...args]: readonly [string, ...string[]]): ChildProcess {
	return spawn(program, args, { stdio: "pipe" });
}

const SUBNETS = {
	client: { ipv4: "198.51.100.", ipv6: "2001:db8:c::" },
	server: { ipv4: "192.0.2.", ipv6: "2001:db8:a::" },
	guest: { ipv4: "203.0.113.", ipv6: "2001:db8:b::" },
} as const;
type Subnet = keyof typeof SUBNETS;

function addressIn(subnet: Subnet, family: Family, host: number): string {
	return `${SUBNETS[subnet][family]}${host}`;
}

function familyOf(text: string): Family {
	const address = parseAddress(text);
	if (address === undefined) throw new RangeError(`${text} is not an address`);
	return address.family;
}

/** Runs ip(8) in a namespace, or here. */
function ipIn(netns: Netns | undefined, command: string): void {
	if (netns === undefined) ip(command);
	else netns.ip(command);
}

function routeOnly(netns?: Netns): void {
	const settings = [
		["ipv4/ip_forward", 1],
		["ipv4/conf/all/rp_filter", 0],
		["ipv4/conf/default/rp_filter", 0],
		["ipv4/conf/all/send_redirects", 0],
		["ipv6/conf/all/forwarding", 1],
		["ipv6/conf/default/accept_dad", 0],
	] as const;
	for (const [name, value] of settings) {
		const path = `/proc/sys/net/${name}`;
		if (netns === undefined) writeFileSync(path, String(value));
		else netns.run("sh", "-c", `echo ${value} > ${path}`);
	}
}

interface LinkEnd {
	readonly netns?: Netns;
	readonly name: string;
	readonly host: number;
}

/** A veth pair between two namespaces (or here), with addresses of both families. */
function join(a: LinkEnd, b: LinkEnd, subnet: Subnet, big: boolean): void {
	ip(`link add ${a.name} type veth peer name ${b.name}`);
	if (big) for (const { name } of [a, b]) allowBigTcp(name, subnet === "client" ? 1500 : 1508);
	for (const { netns, name, host } of [a, b]) {
		if (netns !== undefined) ip(`link set ${name} netns ${netns.name}`);
		ipIn(netns, `address add ${addressIn(subnet, "ipv4", host)}/24 dev ${name}`);
		ipIn(netns, `address add ${addressIn(subnet, "ipv6", host)}/64 dev ${name} nodad`);
		ipIn(netns, `link set ${name} up`);
	}
}

/** From uapi/linux/if_link.h. ip(8) of Debian 12 does not know the sizes for IPv4. */
const IFLA_GSO_MAX_SIZE = 41;
const IFLA_GSO_IPV4_MAX_SIZE = 63;
const BIG_TCP_BYTES = 180_000;

/**
 * Allows the interface to send unsplit segments of more than 65,535 bytes. Over IPv6 they have a hop-by-hop
 * option of eight bytes, which a router counts as part of each segment: after the sender's interface, the MTU
 * must be larger by that.
 */
function allowBigTcp(name: string, mtu: number): void {
	ip(`link set ${name} mtu ${mtu}`);
	using netlink = new Netlink();
	const sizes = [IFLA_GSO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE].map((type) =>
		attribute(type, u32Value(BIG_TCP_BYTES)),
	);
	const payload = Buffer.concat([IFINFOMSG.encode({ index: interfaceByName(name).index }), ...sizes]);
	netlink.change({ type: RTM_SETLINK, payload, doing: `allow BIG TCP on ${name}` });
}

function addDefaultRoute(netns: Netns | undefined, subnet: Subnet, host: number): void {
	ipIn(netns, `-4 route add default via ${addressIn(subnet, "ipv4", host)}`);
	ipIn(netns, `-6 route add default via ${addressIn(subnet, "ipv6", host)}`);
}

/** Director: rewrites the VIP to the real server's address, and sets the VIP's DSCP. */
function markInDirector(director: Netns, vip: string, family: Family, dscp: number): void {
	const table = family === "ipv4" ? "ip" : "ip6";
	director.run(
		"nft",
		`add table ${table} director;` +
			`add chain ${table} director c { type filter hook prerouting priority raw; };` +
			`add rule ${table} director c ${table} daddr ${vip} ` +
			`${table} daddr set ${REAL_SERVER[family]} ${table} dscp set ${dscp}`,
	);
}

function setOffloads(state: OffloadState, client: Netns, director: Netns): void {
	if (state !== "pending" && state !== "big")
		client.run("ethtool", "-K", "c0", "tx", "off", "tso", "off", "gso", "off");
	director.run("ethtool", "-K", "d0", "gro", "off");
	run("ethtool", "-K", TRAFFIC_INTERFACE, "gro", state === "merged" ? "on" : "off");
	if (state === "merged") {
		// A veth uses GRO only if its peer cannot segment, and it merges only packets that are already
		// waiting.
		director.run("ethtool", "-K", "d1", "tso", "off");
		writeFileSync(`/sys/class/net/${TRAFFIC_INTERFACE}/gro_flush_timeout`, String(GRO_WAIT_NS));
		writeFileSync(`/sys/class/net/${TRAFFIC_INTERFACE}/napi_defer_hard_irqs`, "10");
	}
}
