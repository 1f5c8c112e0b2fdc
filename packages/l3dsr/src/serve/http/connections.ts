/** The connections of a server: no more than a number, of which the one that has been idle longest gives way. */
import type { Server } from "node:http";
import type { Socket } from "node:net";

export class Connections {
	readonly #most: number;
	readonly #all = new Set<Socket>();
	/** Those that wait for a request, or for the rest of one, by their key; the longest waiting first. */
	readonly #idle = new Map<unknown, Socket>();

	constructor(most: number) {
		this.#most = most;
	}

	get count(): number {
		return this.#all.size;
	}

	/** Takes care of the connections of a server; of several, of all together. */
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
		// Where every other one is being answered, that is the newest.
		const [longest = socket] = this.#idle.values();
		longest.destroy();
	}
}

/** A TLS socket and the TCP socket below it have the same. */
function keyOf(socket: Socket): unknown {
	return socket.remotePort === undefined ? socket : `${socket.remoteAddress} ${socket.remotePort}`;
}
