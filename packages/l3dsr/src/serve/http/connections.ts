/** Limits the number of a server's connections: a new one beyond the limit closes the one idle longest. */
import type { Server } from "node:http";
import type { Socket } from "node:net";

export class Connections {
	readonly #most: number;
	readonly #all = new Set<Socket>();
	/** Connections that wait for a request or the rest of one, by key, the longest idle first. */
	readonly #idle = new Map<unknown, Socket>();

	constructor(most: number) {
		this.#most = most;
	}

	get count(): number {
		return this.#all.size;
	}

	/** Counts this server's connections; with several servers, the limit is for all of them together. */
	watch(server: Server): void {
		server.on("connection", (socket: Socket) => this.#add(socket));
		server.on("request", ({ socket }, response) => {
			const key = keyOf(socket);
			const raw = this.#idle.get(key);
			if (raw === undefined) return;
			this.#idle.delete(key);
			response.on("close", () => {
				if (this.#all.has(raw)) this.#idle.set(key, raw);
			});
		});
	}

	#add(socket: Socket): void {
		const key = keyOf(socket);
		this.#all.add(socket);
		this.#idle.set(key, socket);
		socket.on("close", () => {
			this.#all.delete(socket);
			if (this.#idle.get(key) === socket) this.#idle.delete(key);
		});
		if (this.#all.size <= this.#most) return;
		// If every other connection is being answered, the new one is the idle one.
		const [longest = socket] = this.#idle.values();
		longest.destroy();
	}
}

/** The same key for a TLS socket and the TCP socket below it. */
function keyOf(socket: Socket): unknown {
	return socket.remotePort === undefined ? socket : `${socket.remoteAddress} ${socket.remotePort}`;
}
