/**
 * The HTTP process: it knows only what the agent sends it over a pipe, has no privileges and cannot change anything.
 * It ends when the agent does.
 */
import type { Readable, Writable } from "node:stream";
import { keepHeapSmall } from "../../host/small-heap.ts";
import { KEPT_RECORDS, Recent } from "../../model/recent.ts";
import { decodeMessage, encodeMessage, type HttpSettings, LineReader, REPLIES, type Reply } from "../wire.ts";
import { Answers } from "./answers.ts";
import { EventStreams, type KnownEvent } from "./event-streams.ts";
import { Exposition } from "./exposition.ts";
import { readPage } from "./page-files.ts";
import { Routes } from "./routes.ts";
import { type Serving, serve } from "./server.ts";

const MOST_STREAMS = 64;
/** Large enough for a status of tens of thousands of services. */
const MOST_LINE_BYTES = 1 << 27;

/** Runs until `input`, the pipe from the agent, ends. `privileges`: the privileges that this process still has. */
export async function runHttpProcess(
	input: Readable,
	output: Writable,
	privileges: () => readonly string[],
): Promise<void> {
	const left = privileges();
	if (left.length > 0) {
		throw new Error(
			`the process that speaks HTTP still has privileges and refuses to serve: ${left.join(", ")}`,
		);
	}
	const served = new HttpProcess((line) => void output.write(line));
	const lines = new LineReader(MOST_LINE_BYTES);
	try {
		for await (const piece of input) {
			for (const line of lines.read(piece as Uint8Array)) {
				const reply = decodeMessage(line, REPLIES);
				if (reply !== undefined) await served.receive(reply);
			}
		}
	} finally {
		served.close();
	}
}

class HttpProcess {
	readonly #send: (line: string) => void;
	readonly #answers: Answers;
	readonly #streams = new EventStreams(MOST_STREAMS);
	readonly #events = new Recent<KnownEvent>(KEPT_RECORDS);
	#serving: Serving | undefined;

	constructor(send: (line: string) => void) {
		this.#send = send;
		this.#answers = new Answers(send);
	}

	async receive(reply: Reply): Promise<void> {
		switch (reply.kind) {
			case "settings":
				await this.#begin(JSON.parse(reply.body) as HttpSettings); // written by the agent
				return;
			case "event":
				this.#event({ id: reply.number, body: reply.body });
				return;
			case "ping":
				this.#send(encodeMessage({ kind: "pong", number: reply.number, body: "" }));
				return;
			default:
				this.#answers.receive(reply);
		}
	}

	close(): void {
		this.#streams.close();
		this.#serving?.close();
	}

	#event(event: KnownEvent): void {
		if (event.id <= (this.#events.last?.id ?? 0)) return;
		this.#events.add(event, event.body.length);
		this.#answers.forget();
		this.#streams.event(event);
		this.#streams.status(new Date().toISOString());
	}

	async #begin(settings: HttpSettings): Promise<void> {
		const exposition = new Exposition(() => ({
			connections: this.#serving?.connections() ?? 0,
			streams: this.#streams.count,
		}));
		const routes = new Routes({
			answers: this.#answers,
			streams: this.#streams,
			events: () => this.#events.items,
			exposition,
			page: pageIn(settings.page),
		});
		this.#serving = await serve(settings, routes);
		// Not earlier: code is loaded from caches that V8 accepts only with the flags that they were made with.
		keepHeapSmall();
	}
}

/** If the page cannot be read, everything else is still served. */
function pageIn(folder: string): ReturnType<typeof readPage> {
	try {
		return readPage(folder);
	} catch (error) {
		process.stderr.write(
			`the page is not served: ${error instanceof Error ? error.message : String(error)}\n`,
		);
		return new Map();
	}
}
