/**
 * Standard output and error of a process, without Node's streams: process.stdout brings node:net with it, and
 * making it takes as long as a third of Node's own start.
 */
import { fstatSync, writeSync } from "node:fs";

/** What a command prints to. Every Writable is one. */
export interface Output {
	/** `written` is called when this output, and all before it, is handed to the kernel. */
	write(output: string | Uint8Array, written?: () => void): unknown;
	readonly isTTY?: boolean;
}

/** `process`, as far as it is needed here. */
interface Streams {
	readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean };
	readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean };
}

const DESCRIPTOR = { stdout: 1, stderr: 2 } as const;

/**
 * `name` of the process: a terminal is left to Node, and so is what may not be waited for (`patient` false): a
 * reader that is slow must not hold up a command that has other things to do. `onError` hears once that nothing
 * more can be written (EPIPE: nobody reads it any longer); what is written then, and afterwards, is dropped.
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

/** Devices are looked at by Node, all but the one that programs are often given. */
function mayBeTerminal(fd: number): boolean {
	try {
		const { rdev } = fstatSync(fd);
		return rdev !== 0 && rdev !== DEV_NULL;
	} catch {
		return true; // closed, for one: Node knows what to do
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
	/** Where the rest goes, once the descriptor has turned out to be one that does not wait. */
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
			this.#recover(error as NodeJS.ErrnoException); // what fs throws is one
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
