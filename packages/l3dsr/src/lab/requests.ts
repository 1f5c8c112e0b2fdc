/** The requests of the lab's client and their results: with the addresses that its own sockets saw. */
import { createSocket } from "node:dgram";
import { request as httpRequest } from "node:http";
import { isIPv6 } from "node:net";
import { type Introduction, pattern, sha256 } from "./services.ts";

export interface HttpQuestion {
	readonly address: string;
	readonly port: number;
	readonly path: string;
	readonly timeoutMs: number;
}

export interface HttpAnswer {
	/** Address of the other end of the connection. */
	readonly peer: string;
	/** The client's port. */
	readonly clientPort: number;
	readonly bytes: number;
	/** Hash of the body, hexadecimal. */
	readonly sha256: string;
	/** The real server that the answer names. */
	readonly server?: string;
	/** Undefined for a download. */
	readonly introduction?: Introduction;
}

export interface UdpQuestion {
	readonly address: string;
	readonly port: number;
	readonly bytes: number;
	readonly timeoutMs: number;
}

export interface UdpAnswer {
	/** Source address of the answer. */
	readonly peer: string;
	readonly introduction: Introduction;
	/** True if exactly the sent bytes came back. */
	readonly echoed: boolean;
}

/** No answer is a result here, not an error. */
export type Reply<Answer> =
	| { readonly answered: true; readonly answer: Answer }
	| { readonly answered: false; readonly reason: string };

/** One GET over a new connection. */
export function askHttp({ address, port, path, timeoutMs }: HttpQuestion): Promise<Reply<HttpAnswer>> {
	return new Promise((resolve) => {
		const request = httpRequest(
			{ host: address, port, path, agent: false, signal: AbortSignal.timeout(timeoutMs) },
			(response) => {
				const { remoteAddress = "", localPort = 0 } = request.socket ?? {};
				const chunks: Buffer[] = [];
				response.on("data", (chunk: Buffer) => chunks.push(chunk));
				response.on("error", failed);
				response.on("end", () => {
					const body = Buffer.concat(chunks);
					const server = response.headers["x-server"];
					const json = response.headers["content-type"] === "application/json";
					resolve({
						answered: true,
						answer: {
							peer: remoteAddress,
							clientPort: localPort,
							bytes: body.length,
							sha256: sha256(body),
							...(typeof server === "string" ? { server } : {}),
							...(json ? { introduction: JSON.parse(body.toString("utf8")) as Introduction } : {}),
						},
					});
				});
			},
		);
		function failed(error: NodeJS.ErrnoException): void {
			const timedOut = error.name === "AbortError" || error.name === "TimeoutError";
			const reason = timedOut ? `no answer within ${timeoutMs} ms` : (error.code ?? error.message);
			resolve({ answered: false, reason });
		}
		request.on("error", failed);
		request.end();
	});
}

/**
 * Sends one datagram and returns the first answer. The socket is not connected, so it also accepts an answer from an
 * unexpected address, which is what happens without the rules.
 */
export function askUdp({ address, port, bytes, timeoutMs }: UdpQuestion): Promise<Reply<UdpAnswer>> {
	return new Promise((resolve) => {
		const socket = createSocket({ type: isIPv6(address) ? "udp6" : "udp4" });
		const sent = pattern(bytes);
		const timer = setTimeout(
			() => done({ answered: false, reason: `no answer within ${timeoutMs} ms` }),
			timeoutMs,
		);
		function done(reply: Reply<UdpAnswer>): void {
			clearTimeout(timer);
			socket.close();
			resolve(reply);
		}
		socket.once("error", (error) => done({ answered: false, reason: error.message }));
		socket.once("message", (message, { address: peer }) => {
			const end = message.indexOf("\n");
			const introduction = JSON.parse(message.subarray(0, end).toString("utf8")) as Introduction;
			const echoed = message.subarray(end + 1).equals(sent);
			done({ answered: true, answer: { peer, introduction, echoed } });
		});
		socket.send(sent, port, address);
	});
}
