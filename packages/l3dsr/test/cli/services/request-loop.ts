/**
 * `node --conditions=@l3dsr/source request-loop.ts PORT VIP…`: asks each VIP over UDP and over TCP (a connection for each
 * request), some at a time, until stdin ends; then prints how many were answered and how many were not.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";

const [port = "", ...vips] = process.argv.slice(2);
let stopped = false;
process.stdin.resume().on("end", () => {
	stopped = true;
});

/** Answered within this time, or lost: nothing is asked twice, but by the kernel (its count of SYNs tells). */
const PATIENCE_MS = 2000;
/** Requests under way at once, for each VIP and protocol. */
const AT_ONCE = 3;

interface Count {
	answered: number;
	lost: number;
}

async function askByUdp(vip: string, count: Count): Promise<void> {
	const socket = createSocket(vip.includes(":") ? "udp6" : "udp4");
	// A connected socket hears only answers that come from the VIP.
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
	}
}

const counts: Record<string, Count> = {};
const loops = vips.flatMap((vip) =>
	Object.entries({ udp: askByUdp, tcp: askByTcp }).flatMap(([protocol, ask]) => {
		const count = { answered: 0, lost: 0 };
		counts[`${protocol} ${vip}`] = count;
		return Array.from({ length: AT_ONCE }, () => ask(vip, count));
	}),
);
const told = setInterval(() => {
	if (Object.values(counts).some(({ answered }) => answered === 0)) return;
	process.stdout.write("all answer\n");
	clearInterval(told);
}, 10);
await Promise.all(loops);
process.stdout.write(`${JSON.stringify(counts)}\n`);
