/** One TCP connection to the VIP, which knows its real server and whether it still works. */
import { Socket } from "node:net";
import { type NetworkNamespace, StreamSocket } from "@l3dsr/linux";
import { type Address, parseAddress } from "@l3dsr/packet";

export class Flow implements Disposable {
	/** The name of the real server in its first answer. */
	real: string | undefined;
	/** Why the connection cannot be used any more. */
	broken: string | undefined;
	readonly #socket: Socket;
	#said = "";

	private constructor(socket: Socket) {
		this.#socket = socket;
		socket.setEncoding("utf8");
		socket.on("data", (text) => {
			this.#said += text;
			this.#hear();
		});
		socket.on("error", ({ message }) => {
			this.broken ??= message;
		});
		socket.on("close", () => {
			this.broken ??= "closed";
		});
	}

	static open(namespace: NetworkNamespace, from: string, vip: Address, port: number): Flow {
		const local = parseAddress(from);
		if (local === undefined) throw new RangeError(from);
		const socket = namespace.within(() => new StreamSocket(local.bytes, 0));
		const result = socket.connect(vip.bytes, port);
		if (result < 0) throw new Error(`connect: errno ${-result}`);
		// The first read tells whether the connection exists, or why not.
		return new Flow(new Socket({ fd: socket.release(), readable: true, writable: true }));
	}

	/** Number of answers that are still expected. */
	awaited = 1;

	/** Sends another request; {@link awaited} is 0 again when the answer has arrived. */
	ask(): void {
		if (this.broken !== undefined) return;
		this.awaited++;
		this.#socket.write("?");
	}

	#hear(): void {
		for (let end = this.#said.indexOf("\n"); end >= 0; end = this.#said.indexOf("\n")) {
			const name = this.#said.slice(0, end);
			this.#said = this.#said.slice(end + 1);
			this.awaited--;
			this.real ??= name;
			if (name !== this.real) this.broken ??= `answered by ${name} instead of ${this.real}`;
		}
	}

	[Symbol.dispose](): void {
		this.#socket.destroy();
	}
}
