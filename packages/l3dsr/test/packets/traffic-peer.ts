/**
 * One end of real traffic, in its own network namespace: reads requests as lines of JSON from stdin and
 * answers each with a line.
 */
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, isIPv6 } from "node:net";
import { createInterface } from "node:readline";
import type { TrafficReply, TrafficRequest } from "./traffic.ts";

/** Bytes without repetition, so that a moved or lost one is visible. */
function bytesToSend(length: number, salt: number): Buffer {
	const bytes = Buffer.alloc(length);
	let state = salt + 1;
	for (let i = 0; i < length; i++) {
		state = (Math.imul(state, 1103515245) + 12345) >>> 0;
		bytes[i] = state >>> 16;
	}
	return bytes;
}

function digest(bytes: Uint8Array): string {
	return createHash("sha256").update(bytes).digest("hex");
}

/** Answers each TCP stream and each UDP datagram with its digest, from `address`. */
async function serve(address: string, port: number): Promise<void> {
	const tcp = createServer({ allowHalfOpen: true }, (socket) => {
		const hash = createHash("sha256");
		socket.on("data", (chunk) => hash.update(chunk));
		socket.on("end", () => socket.end(hash.digest("hex")));
		socket.on("error", () => socket.destroy());
	});
	tcp.listen(port, address);
	await once(tcp, "listening");
	const udp = createSocket(isIPv6(address) ? "udp6" : "udp4", (data, from) => {
		udp.send(digest(data), from.port, from.address);
	});
	udp.bind(port, address);
	await once(udp, "listening");
}

async function sendStream(request: TrafficRequest & { act: "tcp" }): Promise<TrafficReply> {
	const { address, port, bytes, timeoutMs } = request;
	const data = bytesToSend(bytes, port);
	const socket = connect({ host: address, port, allowHalfOpen: true });
	socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`nothing moved for ${timeoutMs} ms`)));
	socket.end(data);
	let answer = "";
	let peer = "";
	socket.on("connect", () => {
		peer = socket.remoteAddress ?? "";
	});
	socket.setEncoding("latin1").on("data", (text) => {
		answer += text;
	});
	try {
		await once(socket, "close");
	} catch (error) {
		return { intact: 0, peer, error: String(error) };
	}
	return { intact: answer === digest(data) ? 1 : 0, peer };
}

async function sendDatagrams(request: TrafficRequest & { act: "udp" }): Promise<TrafficReply> {
	const { address, port, bytes, count, timeoutMs } = request;
	const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
	let intact = 0;
	let peer = "";
	for (let i = 0; i < count; i++) {
		const data = bytesToSend(bytes, i);
		socket.send(data, port, address);
		try {
			const [answer, from] = await once(socket, "message", { signal: AbortSignal.timeout(timeoutMs) });
			peer = from.address;
			if (String(answer) === digest(data)) intact++;
		} catch {
			break;
		}
	}
	socket.close();
	return { intact, peer };
}

async function handle(request: TrafficRequest): Promise<TrafficReply> {
	switch (request.act) {
		case "serve":
			await serve(request.address, request.port);
			return { intact: 0, peer: "" };
		case "tcp":
			return sendStream(request);
		case "udp":
			return sendDatagrams(request);
	}
}

for await (const line of createInterface({ input: process.stdin })) {
	const reply = await handle(JSON.parse(line)).catch((error) => ({
		intact: 0,
		peer: "",
		error: String(error),
	}));
	process.stdout.write(`${JSON.stringify(reply)}\n`);
}
process.exit();
