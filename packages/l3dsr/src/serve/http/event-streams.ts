/** Server-sent events (WHATWG HTML, 9.2): every open stream, and what each gets. */
import type { ServerResponse } from "node:http";

/** What a stream has not read yet, above which it is cut off. */
const MOST_UNREAD_BYTES = 1 << 20;
/** A comment now and then, so that proxies and dead peers are noticed. */
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

	/** At most so many at once. */
	constructor(most: number) {
		this.#most = most;
		this.#heartbeat = setInterval(() => this.#write(": alive\n\n"), HEARTBEAT_MS).unref();
	}

	get count(): number {
		return this.#open.size;
	}

	/** False when there are too many. `known`: in order; those with an id above `after` are sent first. */
	add(response: ServerResponse, known: readonly KnownEvent[], after: number): boolean {
		if (this.#open.size >= this.#most) return false;
		response.writeHead(200, {
			"content-type": "text/event-stream; charset=utf-8",
			"cache-control": "no-store",
			"x-accel-buffering": "no",
		});
		// An agent that has begun anew counts from one again.
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

	/** The status, or the findings, have changed. `time`: RFC 3339. */
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
