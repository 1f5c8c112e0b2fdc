/**
 * Sends frames at a steady rate from one interface of a namespace until the parent process disconnects; then
 * reports the number of frames sent. {@link Flood} runs it.
 */

import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { enterNetworkNamespace, PacketSocket } from "@l3dsr/linux";
import { FROM_SOURCE } from "../../../../test/support/node.ts";

interface FloodOrder {
	/** Name of the sender's namespace; default: the parent's. */
	readonly netns?: string;
	readonly interfaceName: string;
	/** Sent one after the other, repeatedly. */
	readonly frames: readonly Uint8Array[];
	/** The interval in which all frames are sent once, in milliseconds. */
	readonly everyMs: number;
}

/** `const flood = await Flood.start({...}); ...; const rounds = await flood.stop()`. */
export class Flood {
	readonly #child: ChildProcess;

	private constructor(child: ChildProcess) {
		this.#child = child;
	}

	/** Resolves after the first round was sent. */
	static async start(order: FloodOrder): Promise<Flood> {
		const child = fork(fileURLToPath(import.meta.url), [], {
			execArgv: [...FROM_SOURCE],
			serialization: "advanced",
		});
		child.send(order);
		await once(child, "message");
		return new Flood(child);
	}

	/** The number of times that each frame was sent. */
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
		// If it is late after a pause, it catches up at twice the rate.
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
	const [order] = (await once(process, "message")) as [FloodOrder]; // the message of Flood.start
	await flood(order);
}
