/**
 * The services of a real server in the lab: HTTP and a UDP echo, both with the server's name and the addresses used.
 */
import { createHash } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIPv6 } from "node:net";

/** The body of an HTTP answer, and the first line of a UDP answer (followed by the datagram itself). */
export interface Introduction {
	/** The real server's name. */
	readonly server: string;
	/** The address that received the request. */
	readonly local: string;
	readonly localPort: number;
	/** The client's address. */
	readonly peer: string;
	readonly peerPort: number;
}

export interface ServiceOptions {
	readonly server: string;
	readonly httpPort: number;
	readonly udpPort: number;
	/** Addresses for UDP, each with its own socket: one socket for all addresses would answer from the wrong one. */
	readonly addresses: readonly string[];
}

/** The path for downloads: `/bulk/N` answers with N bytes. */
export const BULK_PATH = "/bulk/";

/** Starts both services. They stop with their process, or when disposed of. */
export async function startServices(options: ServiceOptions): Promise<AsyncDisposable> {
	const http = createServer((request, response) => answerHttp(options.server, request, response));
	http.listen(options.httpPort, "::");
	await once(http, "listening");
	const sockets = await Promise.all(
		options.addresses.map((address) => listenUdp(options.server, address, options.udpPort)),
	);
	return { [Symbol.asyncDispose]: () => stop(http, sockets) };
}

/** N bytes with varying content, the same on both sides. */
export function pattern(bytes: number): Buffer {
	const buffer = Buffer.allocUnsafe(bytes);
	for (let i = 0; i < bytes; i++) buffer[i] = i * 7 + (i >> 8);
	return buffer;
}

export function sha256(bytes: Uint8Array): string {
	return createHash("sha256").update(bytes).digest("hex");
}

function answerHttp(server: string, request: IncomingMessage, response: ServerResponse): void {
	const { socket, url = "/" } = request;
	response.setHeader("connection", "close");
	response.setHeader("x-server", server);
	if (url.startsWith(BULK_PATH)) {
		const bytes = pattern(Number(url.slice(BULK_PATH.length)) || 0);
		response.setHeader("content-type", "application/octet-stream");
		response.end(bytes);
		return;
	}
	response.setHeader("content-type", "application/json");
	response.end(
		`${JSON.stringify({
			server,
			local: plain(socket.localAddress),
			localPort: socket.localPort ?? 0,
			peer: plain(socket.remoteAddress),
			peerPort: socket.remotePort ?? 0,
		} satisfies Introduction)}\n`,
	);
}

async function listenUdp(server: string, address: string, port: number): Promise<Socket> {
	const socket = createSocket({ type: isIPv6(address) ? "udp6" : "udp4" });
	socket.bind(port, address);
	await once(socket, "listening");
	socket.on("message", (message, peer) => {
		const introduction: Introduction = {
			server,
			local: address,
			localPort: port,
			peer: peer.address,
			peerPort: peer.port,
		};
		socket.send([`${JSON.stringify(introduction)}\n`, message], peer.port, peer.address);
	});
	return socket;
}

async function stop(http: Server, sockets: readonly Socket[]): Promise<void> {
	for (const socket of sockets) socket.close();
	http.closeAllConnections();
	await new Promise((resolve) => http.close(resolve));
}

/** A socket for both families shows an IPv4 peer as ::ffff:a.b.c.d. */
function plain(address: string | undefined): string {
	return (address ?? "").replace(/^::ffff:(?=\d+\.)/, "");
}
