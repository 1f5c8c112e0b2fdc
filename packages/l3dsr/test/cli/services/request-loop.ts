/**
 * `node --conditions=@l3dsr/source request-loop.ts PORT PATIENCE_MS VIP…`: sends requests to each VIP over
 * UDP and over TCP (one connection each), several at a time, until stdin ends. For each line of stdin, and at
 * the end, prints how many were answered and how many were not.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

const [port = "", patience = "", ...vips] = process.argv.slice(2);
let stopped = false;

/**
 * A request that is not answered within this time is lost; only the kernel repeats one (its SYN count shows
 * that).
 */
const PATIENCE_MS = Number(patience);
/** Simultaneous requests for each VIP and protocol. */
const AT_ONCE = 3;
/** Between two requests, to leave CPU time to other processes. */
const PAUSE_MS = 5;

interface Count {
	answered: number;
	lost: number;
}

async function askByUdp(vip: string, count: Count): Promise<void> {
	const socket = createSocket(vip.includes(":") ? "udp6" : "udp4");
	// No listener, or a firewall refuses: the missing answer is counted.
	socket.on("error", () => {});
	// A connected socket receives only answers from the VIP.
	socket.connect(Number(port), vip);
	await once(socket, "connect");
	while (!stopped) {
		const answer = once(socket, "message", { signal: AbortSignal.timeout(PATIENCE_MS) });
		socket.send(String(count.answered));
		try {
			await answer;
			count.answered++;
		} catch {
			count.lost++;
		}
		await delay(PAUSE_MS);
	}
	socket.close();
}

async function askByTcp(vip: string, count: Count): Promise<void> {
	while (!stopped) {
		const socket = connect(Number(port), vip);
		let text = "";
		socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error("no answer")));
		socket.on("data", (chunk) => {
			text += String(chunk);
		});
		try {
			await once(socket, "connect");
			socket.write("?");
			await once(socket, "end");
			if (text !== "!") throw new Error(`answered ${text}`);
			count.answered++;
		} catch {
			count.lost++;
		}
		socket.destroy();
		await delay(PAUSE_MS);
	}
}

const counts: Record<string, Count> = {};
const print = () => process.stdout.write(`${JSON.stringify(counts)}\n`);
const loops = vips.flatMap((vip) =>
	Object.entries({ udp: askByUdp, tcp: askByTcp }).flatMap(([protocol, ask]) => {
		const count = { answered: 0, lost: 0 };
		counts[`${protocol} ${vip}`] = count;
		return Array.from({ length: AT_ONCE }, () => ask(vip, count));
	}),
);
process.stdin.on("data", (lines) => {
	for (const byte of lines) if (byte === 10) print();
});
process.stdin.on("end", () => {
	stopped = true;
});
await Promise.all(loops);
print();
