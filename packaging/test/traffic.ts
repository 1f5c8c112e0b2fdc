/**
 * One client's traffic to a VIP during another action on its host: datagrams with the VIP's DSCP to the
 * host's own address, one after the other, each answered from the VIP.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { done } from "./host.ts";

const VIP = "192.0.2.10";
const DSCP = 7;
const REAL = "10.7.0.2";
const PORT = 4007;

const SERVER = `
const socket = require("node:dgram").createSocket("udp4");
socket.on("message", (message, { port, address }) => socket.send(message, port, address));
socket.bind(${PORT}, "${VIP}", () => console.log("ready"));`;

/** Sends the next datagram when the last is answered; after a second it is lost. Prints a line per change. */
const CLIENT = `
const socket = require("node:dgram").createSocket("udp4");
const count = { answered: 0, lost: 0, elsewhere: 0 };
let number = 0;
let timer;
const next = () => {
	timer = setTimeout(() => { count.lost++; next(); }, 1000);
	socket.send(String(++number), ${PORT}, "${REAL}");
};
socket.on("message", (message, { address }) => {
	if (message.toString() !== String(number)) return;
	clearTimeout(timer);
	if (address === "${VIP}") count.answered++; else count.elsewhere++;
	if (count.answered === 1) console.log("ready");
	setImmediate(next);
});
process.stdin.on("data", () => console.log(JSON.stringify(count))).resume();
socket.bind(0, next);`;

export interface Count {
	readonly answered: number;
	readonly lost: number;
	readonly elsewhere: number;
}

export class Traffic implements AsyncDisposable {
	static readonly vip = VIP;
	static readonly dscp = DSCP;
	readonly #netns: string;
	readonly #children: ChildProcess[] = [];
	#lines: Interface | undefined;
	#client: ChildProcess | undefined;

	/** Connects a client to `host`'s network. */
	constructor(host: string) {
		this.#netns = `${host}c`;
		const inside = (netns: string, ...args: readonly string[]) => done("ip", ["-n", netns, ...args]);
		done("ip", ["netns", "add", this.#netns]);
		inside(host, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", this.#netns);
		inside(host, "addr", "add", `${REAL}/24`, "dev", "eth0");
		inside(this.#netns, "addr", "add", "10.7.0.1/24", "dev", "eth0");
		for (const netns of [host, this.#netns]) inside(netns, "link", "set", "eth0", "up");
		// Like a director.
		const mark = `add table ip director; add chain ip director out { type filter hook output priority 0; };
			add rule ip director out ip daddr ${REAL} ip dscp set ${DSCP}`;
		done("ip", ["netns", "exec", this.#netns, "nft", mark]);
		this.host = host;
	}
	readonly host: string;

	/** Starts server and client; returns when the first answer came from the VIP. */
	async start(): Promise<void> {
		await this.#spawn(this.host, SERVER);
		this.#client = await this.#spawn(this.#netns, CLIENT);
	}

	/** The counts so far. */
	async count(): Promise<Count> {
		assert.ok(this.#client?.stdin && this.#lines, "the traffic has not begun");
		const line = once(this.#lines, "line");
		this.#client.stdin.write("?\n");
		return JSON.parse((await line)[0]);
	}

	/** Runs `change` under traffic: all packets during it are answered, all by the VIP. */
	async unharmedBy(change: () => void | Promise<void>): Promise<void> {
		const before = await this.count();
		await change();
		const after = await this.count();
		assert.ok(after.answered > before.answered, JSON.stringify({ before, after }));
		assert.deepEqual(
			{ lost: after.lost - before.lost, elsewhere: after.elsewhere - before.elsewhere },
			{ lost: 0, elsewhere: 0 },
		);
	}

	async #spawn(netns: string, script: string): Promise<ChildProcess> {
		const child = spawn("ip", ["netns", "exec", netns, process.execPath, "-e", script], {
			stdio: ["pipe", "pipe", "inherit"],
		});
		this.#children.push(child);
		this.#lines = createInterface(child.stdout);
		await once(this.#lines, "line", { signal: AbortSignal.timeout(10_000) });
		return child;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const child of this.#children) child.kill("SIGKILL");
		done("ip", ["netns", "del", this.#netns]);
	}
}
