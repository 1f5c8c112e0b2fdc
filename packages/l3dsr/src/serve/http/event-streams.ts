/** Server-sent events (WHATWG HTML, 9.2): the open streams and what is sent to them. */
import type { ServerResponse } from "node:http";

/** The most bytes that a client may leave unread before its stream is closed. */
const MOST_UNREAD_BYTES = 1 << 20;
/** How often to send a comment, so that proxies keep the stream open and dead peers are noticed. */
const HEARTBEAT_MS = 15_000;

export interface KnownEvent {
	readonly id: number;
	/** JSON. */
	readonly body: string;
}

export class EventStreams {
	readonly #most: number;
	readonly #open = new Set<ServerResponse>();
	readonly #heartbeat: NodeJS.Timeout;

	/** `most`: how many streams may be open at once. */
	constructor(most: number) {
		this.#most = most;
		this.#heartbeat = setInterval(() => this.#write(": alive\n\n"), HEARTBEAT_MS).unref();
	}

	get count(): number {
		return this.#open.size;
	}

	/** False if there are too many streams. `known`: in order; those with an id above `after` are sent first. */
	add(response: ServerResponse, known: readonly KnownEvent[], after: number): boolean {
		if (this.#open.size >= this.#most) return false;
		response.writeHead(200, {
			"content-type": "text/event-stream; charset=utf-8",
			"cache-control": "no-store",
			"x-accel-buffering": "no",
		});
		// An agent that was restarted counts from one again.
		const last = known.at(-1)?.id ?? 0;
		const from = after > last ? 0 : after;
		const text = known
			.filter(({ id }) => id > from)
			.map(eventText)
			.join("");
		response.write(`retry: 2000\n\n${text}`);
		this.#open.add(response);
		response.on("close", () => this.#open.delete(response));
		return true;
	}

	event(event: KnownEvent): void {
		this.#write(eventText(event));
	}

	/** Tells clients that the status or the findings have changed. `time`: RFC 3339. */
	status(time: string): void {
		this.#write(`event: status\ndata: ${JSON.stringify({ time })}\n\n`);
	}

	close(): void {
		clearInterval(this.#heartbeat);
		for (const response of this.#open) response.destroy();
	}

	#write(text: string): void {
		for (const response of this.#open) {
			if (response.writableLength > MOST_UNREAD_BYTES) response.destroy();
			else response.write(text);
		}
	}
}

function eventText({ id, body }: KnownEvent): string {
	return `id: ${id}\nevent: event\ndata: ${body}\n\n`;
}
