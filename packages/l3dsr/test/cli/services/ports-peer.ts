/**
 * `ports-peer.ts serve ADDRESS,TCP-PORT,UDP-PORT…`: sends as many bytes as a connection requests, and echoes
 * each datagram, until it is killed.
 *
 * `ports-peer.ts ask BYTES VIP…`: requests BYTES of each VIP at port 80, sends a datagram of 4,000 bytes to
 * port 53, which is fragmented in both directions, and tries ports 82 and 54, where nothing listens. Prints a
 * line of JSON.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, isIPv6 } from "node:net";

const [act = "", ...words] = process.argv.slice(2);
const PATIENCE_MS = 5000;
const DATAGRAM_BYTES = 4000;

async function serve(places: readonly string[]): Promise<void> {
	for (const place of places) {
		const [address = "", tcpPort, udpPort] = place.split(",");
		const tcp = createServer((socket) => {
			socket.on("data", (asked) => socket.end(Buffer.alloc(Number(String(asked)), "x")));
			socket.on("error", () => socket.destroy());
		});
		tcp.listen(Number(tcpPort), address);
		await once(tcp, "listening");
		const udp = createSocket(isIPv6(address) ? "udp6" : "udp4", (data, from) => {
			udp.send(data, from.port, from.address);
		});
		udp.bind(Number(udpPort), address);
		await once(udp, "listening");
	}
	process.stdout.write("serving\n");
}

async function bytesByTcp(vip: string, port: number, bytes: number): Promise<number | string> {
	const socket = connect(port, vip);
	socket.setTimeout(PATIENCE_MS, () => socket.destroy(new Error("nothing came")));
	let got = 0;
	try {
		await once(socket, "connect");
		socket.on("data", (data) => {
			got += data.length;
		});
		socket.write(String(bytes));
		await once(socket, "end");
		return got;
	} catch (error) {
		return `${got} bytes, then ${codeOf(error)}`;
	} finally {
		socket.destroy();
	}
}

/** `ECONNREFUSED` and the like, if the system reports it. */
function codeOf(error: unknown): string {
	return error instanceof Error && "code" in error ? String(error.code) : String(error);
}

/** A connected socket receives only packets from the VIP and port that it has sent to. */
async function bytesByUdp(vip: string, port: number): Promise<number | string> {
	const socket = createSocket(isIPv6(vip) ? "udp6" : "udp4");
	try {
		socket.connect(port, vip);
		await once(socket, "connect");
		const answer = once(socket, "message", { signal: AbortSignal.timeout(PATIENCE_MS) });
		// The first answer may be lost: with IPv6 only its sender can make the fragments smaller.
		const again = () => socket.send(Buffer.alloc(port === 53 ? DATAGRAM_BYTES : 10, "y"));
		again();
		const repeat = setInterval(again, 200);
		try {
			const [data] = (await answer) as [Buffer];
			return data.length;
		} finally {
			clearInterval(repeat);
		}
	} catch (error) {
		return codeOf(error);
	} finally {
		socket.close();
	}
}

if (act === "serve") await serve(words);
else {
	const [bytes, ...vips] = words;
	const answers: Record<string, unknown> = {};
	for (const vip of vips) {
		answers[vip] = {
			tcp: await bytesByTcp(vip, 80, Number(bytes)),
			closed: await bytesByTcp(vip, 82, 0),
			udp: await bytesByUdp(vip, 53),
			nobody: await bytesByUdp(vip, 54),
		};
	}
	process.stdout.write(`${JSON.stringify(answers)}\n`);
}
