/**
 * A client that continuously makes connections and sends datagrams to VIPs of this host, and the server that
 * answers them. The client, at the other end of eth0, is its own director.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { ip, Netns, waitFor } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";

const REQUEST_LOOP = fileURLToPath(new URL("request-loop.ts", import.meta.url));
export const PORT = 5300;

/** Echoes datagrams and answers one request of each connection, on every present and future VIP. */
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

/** The answered and unanswered requests to a VIP by one protocol. */
export interface Count {
	readonly answered: number;
	readonly lost: number;
}

/** Counts by protocol and VIP: `tcp 192.0.2.10`. */
export type Counts = Readonly<Record<string, Count>>;

/** A VIP that a director marks with a code, or none: then packets are routed to the VIP unchanged. */
export interface LoadedVip {
	readonly vip: string;
	readonly dscp?: number;
	/** The server's port; default: the port that clients send to. */
	readonly serverPort?: number;
}

/** An eth0 whose peer is a client, with the real server's addresses 10.0.0.2 and fd00::2. */
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
		// A packet that was not rewritten reaches the real address, which answers it, at least with a
		// refusal.
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

	/** Packets answered by the real address instead of the VIP. */
	unrewritten(): number {
		const text = this.netns.run("nft", "list", "counter", "inet", "director", "unrewritten");
		return Number(/packets (\d+)/.exec(text)?.[1]);
	}

	[Symbol.dispose](): void {
		this.netns[Symbol.dispose]();
	}
}

/**
 * Sends requests until it is disposed. Runs in its own processes: commands run in the test's process, which
 * answers nothing meanwhile.
 */
export class Load implements Disposable {
	readonly #server: ChildProcess;
	readonly #client: ChildProcess;
	readonly #lines: AsyncIterator<string>;

	private constructor(server: ChildProcess, client: ChildProcess, lines: AsyncIterator<string>) {
		this.#server = server;
		this.#client = client;
		this.#lines = lines;
	}

	/** Returns once all VIPs answer. A request without an answer within `patienceMs` is lost. */
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

	/** The counts so far. */
	async counts(): Promise<Counts> {
		this.#client.stdin?.write("\n");
		return await this.#next();
	}

	/** Waits until every VIP has answered by every protocol, in requests that began after the call. */
	async untilAllAnswer(timeoutMs = 10_000): Promise<Counts> {
		const before = await this.counts();
		return await waitFor(
			"answer from every VIP",
			async () => {
				const counts = await this.counts();
				// Pending requests may have been answered before.
				const grown = Object.entries(counts).map(
					([key, { answered }]) => answered - (before[key]?.answered ?? 0),
				);
				return grown.every((more) => more > AT_ONCE) ? counts : undefined;
			},
			timeoutMs,
		);
	}

	/** Ends the requests and returns all counts. */
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

/** Simultaneous requests for each VIP and protocol (request-loop.ts). */
const AT_ONCE = 3;
