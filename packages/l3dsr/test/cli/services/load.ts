/**
 * A client that makes connections and sends datagrams to VIPs of this host all the time, and the server that answers
 * them: the client is its own director, on the other end of eth0.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ip, Netns, waitFor } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";

const REQUEST_LOOP = fileURLToPath(new URL("request-loop.ts", import.meta.url));
export const PORT = 5300;

/** Echoes datagrams and answers one request of each connection, on every VIP, there or not yet there. */
const SERVER = `
	const places = JSON.parse(process.argv[1]);
	let left = 2 * places.length;
	const done = () => { if (--left === 0) console.log("listening"); };
	for (const [vip, port] of places) {
		const udp = require("node:dgram").createSocket(vip.includes(":") ? "udp6" : "udp4");
		udp.on("error", () => {}).on("message", (message, from) => udp.send(message, from.port, from.address));
		udp.bind(port, vip, done);
		require("node:net").createServer((socket) => {
			socket.on("data", () => socket.end("!")).on("error", () => {});
		}).listen(port, vip, done);
	}`;

/** What a VIP has answered by a protocol, and what it has not. */
export interface Count {
	readonly answered: number;
	readonly lost: number;
}

/** `tcp 192.0.2.10` → its count. */
export type Counts = Readonly<Record<string, Count>>;

/** A VIP that a director marks with a code, or none: then packets are routed to the VIP as they are. */
export interface LoadedVip {
	readonly vip: string;
	readonly dscp?: number;
	/** Where the server listens; default: where clients send to. */
	readonly serverPort?: number;
}

/** An eth0 whose other end is a client, with the real server's addresses 10.0.0.2 and fd00::2. */
export class LoadingClient implements Disposable {
	readonly netns = new Netns("client");

	constructor(vips: readonly LoadedVip[]) {
		const { netns } = this;
		ip(`link add eth0 type veth peer name eth0 netns ${netns.name}`);
		ip("addr add 10.0.0.2/24 dev eth0");
		ip("addr add fd00::2/64 dev eth0 nodad");
		ip("link set eth0 up");
		netns.ip("link set eth0 up");
		netns.ip("addr add 10.0.0.1/24 dev eth0");
		netns.ip("addr add fd00::1/64 dev eth0 nodad");
		for (const { vip } of vips)
			netns.ip(`route add ${vip} via ${vip.includes(":") ? "fd00::2" : "10.0.0.2"}`);
		const marks = vips.flatMap(({ vip, dscp }) => {
			if (dscp === undefined) return [];
			const [family, real] = vip.includes(":") ? ["ip6", "fd00::2"] : ["ip", "10.0.0.2"];
			return `${family} daddr ${vip} ${family} dscp set ${dscp} ${family} daddr set ${real}`;
		});
		// A packet that was not rewritten reaches the real address, and this one answers it, if only by a refusal.
		netns.run(
			"nft",
			`table inet director {
				chain output { type route hook output priority 0; policy accept; ${marks.join("; ")}; };
				counter unrewritten { };
				chain answers { type filter hook input priority -300; policy accept;
					ip saddr 10.0.0.2 counter name unrewritten
					ip6 saddr fd00::2 meta l4proto { tcp, udp } counter name unrewritten
					ip6 saddr fd00::2 icmpv6 type destination-unreachable counter name unrewritten
				};
			}`,
		);
	}

	/** Packets that the real address has answered, and not the VIP. */
	unrewritten(): number {
		const text = this.netns.run("nft", "list", "counter", "inet", "director", "unrewritten");
		return Number(/packets (\d+)/.exec(text)?.[1]);
	}

	[Symbol.dispose](): void {
		this.netns[Symbol.dispose]();
	}
}

/** Requests under way until it is disposed. In processes of its own: commands run in the test's, which answers nothing meanwhile. */
export class Load implements Disposable {
	readonly #server: ChildProcess;
	readonly #client: ChildProcess;
	readonly #lines: AsyncIterator<string>;

	private constructor(server: ChildProcess, client: ChildProcess, lines: AsyncIterator<string>) {
		this.#server = server;
		this.#client = client;
		this.#lines = lines;
	}

	/** Once every one of the VIPs answers. What is not answered within `patienceMs` is lost. */
	static async start(
		client: LoadingClient,
		vips: readonly LoadedVip[],
		{ patienceMs }: { readonly patienceMs: number },
	): Promise<Load> {
		const places = vips.map(({ vip, serverPort = PORT }) => [vip, serverPort]);
		const server = spawn(process.execPath, ["-e", SERVER, JSON.stringify(places)], {
			stdio: ["ignore", "pipe", "inherit"],
		});
		await once(server.stdout, "data");
		const asked = vips.map(({ vip }) => vip);
		const asking = client.netns.spawn(
			process.execPath,
			...[...FROM_SOURCE, REQUEST_LOOP, String(PORT), String(patienceMs), ...asked],
		);
		if (asking.stdout === null) throw new TypeError("a process without pipes");
		asking.stderr?.pipe(process.stderr);
		const load = new Load(server, asking, createInterface(asking.stdout)[Symbol.asyncIterator]());
		await load.untilAllAnswer();
		return load;
	}

	/** Until now. */
	async counts(): Promise<Counts> {
		this.#client.stdin?.write("\n");
		return await this.#next();
	}

	/** Every VIP has answered by every protocol, in requests that began after the call. */
	async untilAllAnswer(timeoutMs = 10_000): Promise<Counts> {
		const before = await this.counts();
		return await waitFor(
			"answer from every VIP",
			async () => {
				const counts = await this.counts();
				// Those under way may have been answered before.
				const grown = Object.entries(counts).map(
					([key, { answered }]) => answered - (before[key]?.answered ?? 0),
				);
				return grown.every((more) => more > AT_ONCE) ? counts : undefined;
			},
			timeoutMs,
		);
	}

	/** Ends the requests; what has become of all of them. */
	async end(): Promise<Counts> {
		this.#client.stdin?.end();
		return await this.#next();
	}

	async #next(): Promise<Counts> {
		const { value, done } = await this.#lines.next();
		if (done === true) throw new Error("the client has ended");
		return JSON.parse(value);
	}

	[Symbol.dispose](): void {
		this.#client.kill("SIGKILL");
		this.#server.kill("SIGKILL");
	}
}

/** Requests under way at once, for each VIP and protocol (request-loop.ts). */
const AT_ONCE = 3;
