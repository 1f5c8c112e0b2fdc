/**
 * Frames at a steady rate out of one interface of a namespace, until the parent process disconnects; then the
 * number of frames sent is the answer. Run by {@link Flood}.
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { enterNetworkNamespace, PacketSocket } from "@l3dsr/linux";
import { FROM_SOURCE } from "../../../../test/support/node.ts";

interface FloodOrder {
	/** Name of the namespace to send in; absent: that of the parent. */
	readonly netns?: string;
	readonly interfaceName: string;
	/** Sent one after the other, again and again. */
	readonly frames: readonly Uint8Array[];
	/** All frames once in so many milliseconds. */
	readonly everyMs: number;
}

/** `const flood = await Flood.start({...}); ...; const rounds = await flood.stop()`. */
export class Flood {
	readonly #child: ChildProcess;

	private constructor(child: ChildProcess) {
		this.#child = child;
	}

	/** Resolves when the first round is out. */
	static async start(order: FloodOrder): Promise<Flood> {
		const child = fork(fileURLToPath(import.meta.url), [], {
			execArgv: [...FROM_SOURCE],
			serialization: "advanced",
		});
		child.send(order);
		await once(child, "message");
		return new Flood(child);
	}

	/** How often each frame has been sent. */
	async stop(): Promise<number> {
		this.#child.send("stop");
		const [rounds] = await once(this.#child, "message");
		this.#child.disconnect();
		await once(this.#child, "exit");
		return Number(rounds);
	}
}

async function flood({ netns, interfaceName, frames, everyMs }: FloodOrder): Promise<void> {
	if (netns !== undefined) enterNetworkNamespace(`/run/netns/${netns}`);
	using socket = new PacketSocket({ interfaceName, etherType: 0 });
	let stopped = false;
	process.once("message", () => {
		stopped = true;
	});
	let started = false;
	let rounds = 0;
	const start = performance.now();
	while (!stopped) {
		// Behind the clock after a pause: made up for, at twice the rate.
		for (let burst = 0; burst < 2 && rounds * everyMs <= performance.now() - start; burst++) {
			socket.send(frames);
			rounds++;
		}
		if (!started) process.send?.("started");
		started = true;
		await new Promise((resolve) => setTimeout(resolve, 1));
	}
	process.send?.(rounds);
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
	const [order] = (await once(process, "message")) as [FloodOrder]; // what Flood.start sends
	await flood(order);
}
