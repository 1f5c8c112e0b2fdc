/**
 * Directors, real servers and a client in their own namespaces, around a router that is the test's namespace:
 *
 *     client ── router ══ dir1, dir2 (equal-cost routes for the VIPs)
 *                 └────── real1, real2 …
 *
 * The directors' programs are at tc, because frames of veth have no checksums. Their kernels forward.
 */
import { createServer } from "node:net";
import { DatagramSocket, NetworkNamespace, namedNamespacePath } from "@l3dsr/linux";
import { dscp, type Family, portOf } from "@l3dsr/packet";
import { ip, Netns, run, waitFor } from "../../../../../test/support/netns.ts";
import { Director } from "../../../src/balance/kernel/director.ts";
import { lowerFleet } from "../../../src/balance/service.ts";
import type { DirectorSettings, HealthOf } from "../../../src/model/director.ts";
import type { EchoMode, Fleet, Real } from "../../../src/model/fleet.ts";
import { CODE, RealServer, VIP } from "../../vip-path/real-server.ts";
import { Flow } from "./flow.ts";

export const HTTP = 80;
export const UDP = 5353;
export const SETTINGS: DirectorSettings = {
	interfaces: ["eth0"],
	hook: "tc",
	forward: "kernel",
	flows: "transition",
	bleach: false,
	openChecksums: "refuse",
};
const FAMILIES = ["ipv4", "ipv6"] as const;

/** A host with one link to the router: 10.N.0.2 and 2001:db8:N::2. */
class Neighbour implements Disposable {
	readonly netns: Netns;
	readonly namespace: NetworkNamespace;
	readonly device: string;
	readonly addresses: Readonly<Record<Family, string>>;

	constructor(name: string, subnet: number) {
		this.device = name;
		this.netns = new Netns(name);
		this.namespace = NetworkNamespace.open(namedNamespacePath(this.netns.name));
		this.addresses = { ipv4: `10.${subnet}.0.2`, ipv6: `2001:db8:${subnet}::2` };
		this.netns.run("sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0");
		ip(`link add ${name} type veth peer name eth0 netns ${this.netns.name}`);
		ip(`address add 10.${subnet}.0.1/24 dev ${name}`);
		ip(`address add 2001:db8:${subnet}::1/64 dev ${name} nodad`);
		ip(`link set ${name} up`);
		this.netns.ip(`address add ${this.addresses.ipv4}/24 dev eth0`);
		this.netns.ip(`address add ${this.addresses.ipv6}/64 dev eth0 nodad`);
		this.netns.ip("link set eth0 up");
		this.netns.ip(`route add default via 10.${subnet}.0.1`);
		this.netns.ip(`-6 route add default via 2001:db8:${subnet}::1`);
	}

	[Symbol.dispose](): void {
		ip(`link delete ${this.device}`);
		this.namespace[Symbol.dispose]();
		this.netns[Symbol.dispose]();
	}
}

/** A director host; another process can take over the changes of its tables. */
export class DirectorHost implements Disposable {
	readonly host: Neighbour;
	readonly #settings: DirectorSettings;
	#director: Director;

	constructor(name: string, subnet: number, settings: DirectorSettings) {
		this.#settings = settings;
		this.host = new Neighbour(name, subnet);
		const on = ["all.forwarding", "default.forwarding"].map((key) => `net.ipv6.conf.${key}=1`);
		this.host.netns.run("sysctl", "-qw", "net.ipv4.ip_forward=1", ...on);
		this.#director = this.host.namespace.within(() => Director.open());
	}

	apply(fleet: Fleet, healthOf?: HealthOf): void {
		this.host.namespace.within(() => this.#director.apply(lowerFleet(fleet, healthOf), this.#settings));
	}

	/** Simulates a new process that takes over. */
	restart(): void {
		this.#director[Symbol.dispose]();
		this.#director = this.host.namespace.within(() => Director.open());
	}

	get slotsInTransition(): number {
		const { services } = this.host.namespace.within(() => this.#director.status());
		return services.reduce((sum, { transition }) => sum + (transition?.slots ?? 0), 0);
	}

	get reasons(): Readonly<Record<string, bigint>> {
		return this.host.namespace.within(() => this.#director.status()).reasons;
	}

	[Symbol.dispose](): void {
		// Another process may have replaced our program by its own.
		this.restart();
		this.host.namespace.within(() => this.#director.detach());
		this.#director[Symbol.dispose]();
		this.host[Symbol.dispose]();
	}
}

/** The service of real server `n` as a program: it sends its number, and sends it again for each request. */
function tcpServer(n: number): string {
	return `require("net").createServer((peer) => {
		peer.on("error", () => {});
		peer.write("${n}\\n");
		peer.on("data", () => peer.write("${n}\\n"));
	}).listen(${HTTP}, "::", 4096);`;
}

/** Configuration of the real servers by their number; absent: not configured. */
export type Parts = Readonly<Record<number, Partial<Pick<Real, "weight" | "state">>>>;

export interface WorldOptions {
	/** Default: tc, where nobody has to complete checksums. */
	readonly hook?: "tc" | "xdp-generic";
	readonly echo?: EchoMode;
	/** Each service in its own process: for more connections than one process may have open files. */
	readonly apart?: boolean;
}

export class World implements AsyncDisposable {
	readonly client: Neighbour;
	readonly reals: ReadonlyMap<number, RealServer>;
	readonly directors: DirectorHost[] = [];
	readonly #echo: EchoMode;
	readonly #settings: DirectorSettings;
	readonly #stack = new AsyncDisposableStack();

	constructor(reals: readonly number[], { hook = "tc", echo = "server", apart = false }: WorldOptions = {}) {
		this.#echo = echo;
		this.#settings = { ...SETTINGS, hook, openChecksums: hook === "tc" ? "refuse" : "accept" };
		run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1");
		run("sysctl", "-qw", "net.ipv4.fib_multipath_hash_policy=1", "net.ipv6.fib_multipath_hash_policy=1");
		this.client = this.#stack.use(new Neighbour("client", 2));
		this.reals = new Map(
			reals.map((n) => {
				const server = this.#stack.use(new RealServer(n));
				if (apart) server.netns.spawn(process.execPath, "-e", tcpServer(n));
				else
					server.listen(
						createServer((peer) => {
							peer.on("error", () => {});
							peer.write(`${n}\n`);
							peer.on("data", () => peer.write(`${n}\n`));
						}),
						HTTP,
					);
				return [n, server];
			}),
		);
	}

	/** Adds a director; packets for the VIPs are shared among all of them. */
	addDirector(fleet: Fleet): DirectorHost {
		const n = this.directors.length + 3;
		const director = new DirectorHost(`dir${n}`, n, this.#settings);
		this.directors.push(director);
		director.apply(fleet);
		this.#route();
		return director;
	}

	/** Its program is gone, and routing has noticed. */
	removeDirector(director: DirectorHost): void {
		this.directors.splice(this.directors.indexOf(director), 1);
		this.#route();
		director[Symbol.dispose]();
	}

	#route(): void {
		for (const family of FAMILIES) {
			const ways = this.directors.map(
				({ host }) => `nexthop via ${host.addresses[family]} dev ${host.device} weight 1`,
			);
			const option = family === "ipv6" ? "-6 " : "";
			if (ways.length > 0) ip(`${option}route replace ${VIP[family].text} ${ways.join(" ")}`);
		}
	}

	fleet(parts: Parts): Fleet {
		const reals = Object.entries(parts).map(([n, part]): Real => {
			const server = this.reals.get(Number(n));
			if (server === undefined) throw new RangeError(`no real server ${n}`);
			const addresses = FAMILIES.map((family) => server.addresses[family]);
			return { name: `r${n}`, addresses, weight: 1, state: "enabled", ...part };
		});
		return {
			vips: [
				{
					name: "web",
					addresses: FAMILIES.map((family) => VIP[family]),
					dscp: { ipv4: dscp(CODE), ipv6: dscp(CODE) },
					services: [HTTP, UDP].map((port) => ({
						port: portOf(port),
						protocols: ["tcp", "udp"] as const,
						pool: "front",
						affinity: "flow" as const,
					})),
					echo: this.#echo,
				},
			],
			pools: [{ name: "front", reals, drainMs: 900_000, floor: 0 }],
		};
	}

	/** Starts a UDP service on real server `n` that answers with `n` and the length of the request. */
	async serveUdp(n: number): Promise<void> {
		const script = `for (const address of ${JSON.stringify(FAMILIES.map((family) => VIP[family].text))}) {
			const socket = require("dgram").createSocket(address.includes(":") ? "udp6" : "udp4");
			socket.on("message", ({ length }, { port, address }) => socket.send("${n} " + length, port, address));
			socket.bind(${UDP}, address, () => console.log("bound"));
		}`;
		const child = this.reals.get(n)?.netns.spawn(process.execPath, "-e", script);
		let bound = "";
		child?.stdout?.on("data", (text) => {
			bound += text;
		});
		await waitFor("UDP sockets", () => bound.split("\n").length > FAMILIES.length, 20_000);
	}

	/** A datagram socket of the client. */
	datagramSocket(protocol: "udp" | "icmp", family: Family, ttl = 64): DatagramSocket {
		return this.client.namespace.within(() => new DatagramSocket(protocol, VIP[family].bytes, 0, ttl));
	}

	/** Changes every director. `dead`: real servers whose check fails. */
	apply(parts: Parts, dead: readonly number[] = []): void {
		const names = new Set(dead.map((n) => `r${n}`));
		for (const director of this.directors)
			director.apply(this.fleet(parts), (_, __, real) => (names.has(real) ? "failing" : "healthy"));
	}

	/** TCP connections of both families in turn, each with the name of its real server. */
	async open(count: number): Promise<Flow[]> {
		const flows: Flow[] = [];
		while (flows.length < count) {
			const some = Array.from({ length: Math.min(200, count - flows.length) }, (_, n) => {
				const family = FAMILIES[n % 2] ?? "ipv4";
				return Flow.open(this.client.namespace, this.client.addresses[family], VIP[family], HTTP);
			});
			await waitFor(
				"connections",
				() => some.every(({ real, broken }) => real !== undefined || broken !== undefined),
				60_000,
			);
			flows.push(...some);
		}
		return flows;
	}

	/** Waits until the links work in both directions and neighbours are known. */
	async ready(): Promise<void> {
		await waitFor("first connections of both families", async () => {
			const some = await this.open(4);
			const isOpen = some.every(({ broken }) => broken === undefined);
			for (const flow of some) flow[Symbol.dispose]();
			return isOpen;
		});
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const director of this.directors) director[Symbol.dispose]();
		await this.#stack.disposeAsync();
	}
}
