/**
 * Simulates the agent's HTTP side: serves the built page under a strict Content-Security-Policy, and records
 * that a test can change. Its own test checks its answers against the schemas.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type {
	EventRecord,
	EventsRecord,
	FindingRecord,
	FindingsRecord,
	StatusRecord,
	TraceRecord,
} from "@l3dsr/records";

/** Only files of the page's own origin: no inline script, no inline style, no embedding in a frame. */
export const POLICY =
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

const TYPES: Readonly<Record<string, string>> = {
	html: "text/html; charset=utf-8",
	js: "text/javascript; charset=utf-8",
	css: "text/css; charset=utf-8",
	svg: "image/svg+xml",
};

export class StandIn {
	status: StatusRecord;
	findings: readonly FindingRecord[] = [];
	events: EventRecord[] = [];
	trace: TraceRecord | undefined;
	/** The required `Authorization`, if any. */
	token: string | undefined;
	/** Query of the last trace. */
	traced = "";
	/** The number of requests for the status. */
	looks = 0;
	/** Called before each status is answered, to increase the counters. */
	beforeStatus: () => void = () => {};
	readonly #folder: string;
	readonly #server: Server;
	readonly #streams = new Set<ServerResponse>();
	#port = 0;

	/** `folder` contains the built page. */
	constructor(folder: string, status: StatusRecord) {
		this.#folder = folder;
		this.status = status;
		this.#server = createServer((request, answer) => this.#answer(request, answer));
	}

	get url(): string {
		return `http://127.0.0.1:${this.#port}/`;
	}

	/** Listens on its previous port, if it had one. */
	async start(): Promise<void> {
		await new Promise<void>((resolve, reject) => {
			this.#server.once("error", reject).listen(this.#port, "127.0.0.1", resolve);
		});
		this.#port = (this.#server.address() as AddressInfo).port;
	}

	/** Like kill -9: every connection ends at once. */
	async kill(): Promise<void> {
		this.#streams.clear();
		const closed = new Promise((resolve) => this.#server.close(resolve));
		this.#server.closeAllConnections();
		await closed;
	}

	/** Adds an event, and sends it to the readers of the stream. */
	happen(event: EventRecord): void {
		this.events = [...this.events, event];
		this.#tell(streamed(event));
	}

	/** The status or the findings have changed. */
	changed(): void {
		this.#tell(`event: status\ndata: ${JSON.stringify({ time: this.status.time })}\n\n`);
	}

	#tell(text: string): void {
		for (const stream of this.#streams) stream.write(text);
	}

	#answer(request: IncomingMessage, answer: ServerResponse): void {
		answer.setHeader("Content-Security-Policy", POLICY);
		answer.setHeader("X-Content-Type-Options", "nosniff");
		const { pathname, search } = new URL(request.url ?? "/", this.url);
		if (pathname.startsWith("/v1/")) this.#api(request, pathname, search, answer);
		else this.#file(pathname === "/" ? "index.html" : pathname.slice(1), answer);
	}

	#file(name: string, answer: ServerResponse): void {
		const type = TYPES[name.split(".").at(-1) ?? ""];
		if (type === undefined || !/^[\w-]+\.\w+$/.test(name)) {
			answer.writeHead(404).end();
			return;
		}
		answer.writeHead(200, { "Content-Type": type }).end(readFileSync(`${this.#folder}/${name}`));
	}

	#api(request: IncomingMessage, path: string, search: string, answer: ServerResponse): void {
		if (this.token !== undefined && request.headers.authorization !== `Bearer ${this.token}`) {
			refuse(answer, 401, "HTTP_TOKEN", "the token is missing");
			return;
		}
		switch (path) {
			case "/v1/status":
				this.looks++;
				this.beforeStatus();
				send(answer, this.status);
				return;
			case "/v1/findings":
				send(answer, {
					schema: "l3dsr.findings/1",
					time: this.status.time,
					findings: this.findings,
				} satisfies FindingsRecord);
				return;
			case "/v1/events":
				if (request.headers.accept === "text/event-stream") {
					answer.writeHead(200, { "Content-Type": "text/event-stream" });
					answer.write(": the stream begins\n\n");
					for (const event of this.events) answer.write(streamed(event));
					this.#streams.add(answer);
					answer.on("close", () => this.#streams.delete(answer));
				} else send(answer, { schema: "l3dsr.events/1", events: this.events } satisfies EventsRecord);
				return;
			case "/v1/trace":
				this.traced = search;
				if (this.trace === undefined)
					refuse(answer, 400, "USAGE", 'to: "nowhere" is not an address', "an IPv4 or IPv6 address");
				else send(answer, this.trace);
				return;
			default:
				refuse(answer, 404, "HTTP_PATH", "nothing is here");
		}
	}
}

function streamed(event: EventRecord): string {
	return `id: ${event.id}\nevent: event\ndata: ${JSON.stringify(event)}\n\n`;
}

function send(answer: ServerResponse, record: object): void {
	answer.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(record));
}

function refuse(answer: ServerResponse, status: number, code: string, message: string, hint?: string): void {
	const errors = [{ code, message, ...(hint === undefined ? {} : { hint }) }];
	answer
		.writeHead(status, { "Content-Type": "application/json" })
		.end(JSON.stringify({ schema: "l3dsr.errors/1", errors }));
}
