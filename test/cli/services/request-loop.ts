/**
 * `node --import tsx request-loop.ts PORT VIP…`: asks each VIP over UDP, one request after the other, until
 * stdin ends; then prints how many were answered and how many were not.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";

const [port = "", ...vips] = process.argv.slice(2);
let stopped = false;
process.stdin.resume().on("end", () => {
	stopped = true;
});

/** Answered within this time, or lost: nothing is ever asked twice. */
const PATIENCE_MS = 2000;

async function ask(vip: string): Promise<{ answered: number; lost: number }> {
	const socket = createSocket(vip.includes(":") ? "udp6" : "udp4");
	// A connected socket hears only answers that come from the VIP.
	socket.connect(Number(port), vip);
	await once(socket, "connect");
	let answered = 0;
	let lost = 0;
	while (!stopped) {
		const answer = once(socket, "message", { signal: AbortSignal.timeout(PATIENCE_MS) });
		socket.send(String(answered));
		try {
			await answer;
			if (++answered === 1) process.stdout.write(`${vip} answers\n`);
		} catch {
			lost++;
		}
	}
	socket.close();
	return { answered, lost };
}

const results = await Promise.all(vips.map(async (vip) => [vip, await ask(vip)] as const));
process.stdout.write(`${JSON.stringify(Object.fromEntries(results))}\n`);
