/**
 * One end of real traffic: a client that reads its requests as lines of JSON from stdin, or the servers of a
 * host.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { createInterface } from "node:readline";

/** A real client's request: one connection, or one datagram. */
export interface Question {
	readonly protocol: "tcp" | "udp";
	/** The destination host. */
	readonly host: string;
	readonly port: number;
	/** Its own address and port. */
	readonly from: string;
	readonly fromPort: number;
}

/** `answered`: data came back; `connected`: the handshake succeeded, and nothing followed. */
export type Outcome = "answered" | "connected" | "refused" | "reset" | "unreachable" | "silence";

/** The address and port that a server listens at. */
export interface Listener {
	readonly protocol: "tcp" | "udp";
	readonly address: string;
	readonly port: number;
	/** For `::` only: IPv4 too. */
	readonly both?: boolean;
}

const SAID = "hello";

/** Time limit for each answer; a reply that arrives at all takes only milliseconds. */
let timeoutMs = 700;

function outcomeOf(error: NodeJS.ErrnoException, connected: boolean): Outcome {
	if (error.code === "ECONNREFUSED") return "refused";
	if (error.code === "ECONNRESET") return "reset";
	if (error.code === "EHOSTUNREACH" || error.code === "ENETUNREACH" || error.code === "EACCES")
		return "unreachable";
	if (error.code === "ETIMEDOUT") return connected ? "connected" : "silence";
	throw error;
}

function askTcp({ host, port, from, fromPort }: Question): Promise<Outcome> {
	return new Promise((resolve, reject) => {
		const socket = connect({ host, port, localAddress: from, localPort: fromPort });
		let connected = false;
		const end = (outcome: Outcome): void => {
			clearTimeout(timer);
			socket.resetAndDestroy();
			resolve(outcome);
		};
		const timer = setTimeout(() => end(connected ? "connected" : "silence"), timeoutMs);
		socket.on("connect", () => {
			connected = true;
			socket.write(SAID);
		});
		socket.on("data", () => end("answered"));
		socket.on("error", (error) => {
			try {
				end(outcomeOf(error, connected));
			} catch (unknown) {
				reject(unknown);
			}
		});
	});
}

function askUdp({ host, port, from, fromPort }: Question): Promise<Outcome> {
	return new Promise((resolve, reject) => {
		const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
		const end = (outcome: Outcome): void => {
			clearTimeout(timer);
			socket.removeAllListeners("error").on("error", () => {});
			socket.close();
			resolve(outcome);
		};
		const timer = setTimeout(() => end("silence"), timeoutMs);
		socket.on("message", () => end("answered"));
		socket.on("error", (error) => {
			try {
				end(outcomeOf(error, false));
			} catch (unknown) {
				reject(unknown);
			}
		});
		socket.bind(fromPort, from, () =>
			socket.connect(port, host, (error?: Error) => {
				if (error === undefined) socket.send(SAID);
				else socket.emit("error", error);
			}),
		);
	});
}

function ask(question: Question): Promise<Outcome> {
	return question.protocol === "tcp" ? askTcp(question) : askUdp(question);
}

async function listen({ protocol, address, port, both = false }: Listener): Promise<void> {
	if (protocol === "tcp") {
		const server = createServer((socket) => socket.on("error", () => {}).pipe(socket));
		await once(server.listen({ host: address, port, ipv6Only: !both }), "listening");
		return;
	}
	const socket = createSocket({
		type: address.includes(":") ? "udp6" : "udp4",
		ipv6Only: address.includes(":") && !both,
	});
	socket.on("message", (data, { port: to, address: client }) => socket.send(data, to, client, () => {}));
	socket.bind(port, address);
	await once(socket, "listening");
	socket.on("error", () => {});
}

if (process.argv[1] === import.meta.filename) {
	for await (const line of createInterface(process.stdin)) {
		const told: { readonly listen?: Listener[]; readonly ask?: Question[]; readonly timeoutMs?: number } =
			JSON.parse(line);
		timeoutMs = told.timeoutMs ?? timeoutMs;
		await Promise.all((told.listen ?? []).map(listen));
		const outcomes = await Promise.all((told.ask ?? []).map(ask));
		process.stdout.write(`${JSON.stringify(outcomes)}\n`);
	}
}
