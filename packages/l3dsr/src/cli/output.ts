/**
 * Standard output and error of a process, without Node's streams: process.stdout loads node:net, and
 * creating it takes a third of the time of Node's own start.
 */
import { fstatSync, writeSync } from "node:fs";

/** Where a command prints to. Every Writable is an Output. */
export interface Output {
	/** `written` is called once this output, and all before it, has been handed to the kernel. */
	write(output: string | Uint8Array, written?: () => void): unknown;
	readonly isTTY?: boolean;
}

/** The part of `process` that is needed here. */
interface Streams {
	readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
	readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

const DESCRIPTOR = { stdout: 1, stderr: 2 } as const;

/**
 * The stream `name` of the process. Node handles a terminal, and output that must not block (`patient`
 * false): a slow reader must not hold up a command that has other work. `onError` is called once when
 * nothing more can be written (EPIPE: nobody reads any longer); that output, and all after it, is dropped.
 */
export function standardOutput(
	streams: Streams,
	name: keyof Streams,
	onError: (error: NodeJS.ErrnoException) => void,
	patient: boolean,
): Output {
	if (patient && !mayBeTerminal(DESCRIPTOR[name])) return new DescriptorOutput(streams, name, onError);
	return streamOf(streams, name, onError);
}

/** Node handles devices, except /dev/null, which is common. */
function mayBeTerminal(fd: number): boolean {
	try {
		const { rdev } = fstatSync(fd);
		return rdev !== 0 && rdev !== DEV_NULL;
	} catch {
		return true; // closed, for example: Node handles that
	}
}

const DEV_NULL = 0x103;

function streamOf(
	streams: Streams,
	name: keyof Streams,
	onError: (error: NodeJS.ErrnoException) => void,
): Streams[keyof Streams] {
	return streams[name].on("error", onError);
}

/** Files, pipes and sockets. */
class DescriptorOutput implements Output {
	readonly #streams: Streams;
	readonly #name: keyof Streams;
	readonly #onError: (error: NodeJS.ErrnoException) => void;
	/** Where the rest goes, once the descriptor turns out to be non-blocking. */
	#stream: NodeJS.WritableStream | undefined;
	#failed = false;

	constructor(streams: Streams, name: keyof Streams, onError: (error: NodeJS.ErrnoException) => void) {
		this.#streams = streams;
		this.#name = name;
		this.#onError = onError;
	}

	write(output: string | Uint8Array, written: () => void = () => {}): void {
		let rest: Uint8Array = Buffer.from(output);
		try {
			while (rest.length > 0 && !this.#failed && this.#stream === undefined) {
				rest = rest.subarray(writeSync(DESCRIPTOR[this.#name], rest));
			}
		} catch (error) {
			this.#recover(error as NodeJS.ErrnoException); // fs throws nothing else
		}
		if (this.#stream === undefined) written();
		else this.#stream.write(rest, written);
	}

	#recover(error: NodeJS.ErrnoException): void {
		if (error.code === "EAGAIN") {
			// Somebody who shares the pipe has made it non-blocking; Node waits for it without polling.
			this.#stream = streamOf(this.#streams, this.#name, this.#onError);
		} else {
			this.#failed = true;
			this.#onError(error);
		}
	}
}
