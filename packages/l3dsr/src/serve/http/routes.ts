/** The paths of the HTTP API and their answers. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import type { ErrorCode } from "../../errors.ts";
import { jsonText } from "../../json.ts";
import { AgentRefusal, Answer, type Answers, type SharedKind } from "./answers.ts";
import type { EventStreams, KnownEvent } from "./event-streams.ts";
import { Exposition } from "./exposition.ts";
import type { PageFile } from "./page-files.ts";
import { readTraceQuery } from "./trace-query.ts";

/** Path → the agent's answer that it returns. */
const RECORDS: Readonly<Record<string, SharedKind>> = {
	"/v1/status": "status",
	"/v1/findings": "findings",
	"/v1/fleet": "fleet",
};
const API_PATHS: readonly string[] = [...Object.keys(RECORDS), "/v1/events", "/v1/trace", "/metrics"];

const TRACES_A_SECOND = 10;

const compress = promisify(gzip);

export interface RoutesOptions {
	readonly answers: Answers;
	readonly streams: EventStreams;
	/** The known events, in order. */
	readonly events: () => readonly KnownEvent[];
	readonly exposition: Exposition;
	readonly page: ReadonlyMap<string, PageFile>;
}

export class Routes {
	readonly #options: RoutesOptions;
	/** When the recent traces were requested, in milliseconds. */
	#traces: number[] = [];

	constructor(options: RoutesOptions) {
		this.#options = options;
	}

	/** False for the page's own files: the page asks for the token and shows nothing without it. */
	needsToken(path: string): boolean {
		return !this.#options.page.has(path);
	}

	/** Counts a request for the metrics, under one of a fixed set of names. */
	count(path: string, code: number): void {
		const known = API_PATHS.includes(path) ? path : this.#options.page.has(path) ? "page" : "other";
		this.#options.exposition.count(known, code);
	}

	async handle(request: IncomingMessage, response: ServerResponse, query: URLSearchParams): Promise<void> {
		const path = (request.url ?? "").split("?", 1)[0] ?? "";
		response.on("finish", () => this.count(path, response.statusCode));
		const file = this.#options.page.get(path);
		if (file !== undefined) {
			await send(request, response, file, { type: file.type, cache: "no-cache" });
			return;
		}
		const record = RECORDS[path];
		try {
			if (record !== undefined) {
				await send(request, response, await this.#options.answers.get(record), { type: "application/json" });
				return;
			}
			switch (path) {
				case "/v1/events":
					return await this.#events(request, response);
				case "/v1/trace":
					await this.#trace(request, response, query);
					return;
				case "/metrics": {
					const status = await this.#options.answers.get("status");
					const type = Exposition.contentType;
					await send(request, response, await this.#options.exposition.text(status), { type });
					return;
				}
			}
		} catch (error) {
			const text =
				error instanceof AgentRefusal
					? error.errors
					: errorsBody("API_UNAVAILABLE", error instanceof Error ? error.message : String(error));
			// If the agent refuses a trace, the client's question is at fault.
			await refuse(
				request,
				response,
				path === "/v1/trace" && error instanceof AgentRefusal ? 400 : 503,
				text,
			);
			return;
		}
		const text = errorsBody(
			"API_REQUEST",
			"this path does not exist",
			`the paths are ${API_PATHS.join(", ")}`,
		);
		await refuse(request, response, 404, text);
	}

	async #events(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const { answers, events, streams } = this.#options;
		if (!(request.headers.accept ?? "").includes("text/event-stream")) {
			await send(request, response, await answers.get("events"), { type: "application/json" });
			return;
		}
		if (request.method === "HEAD") {
			response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" }).end();
			return;
		}
		const last = String(request.headers["last-event-id"] ?? "0");
		const after = /^\d{1,15}$/.test(last) ? Number(last) : 0;
		if (streams.add(response, events(), after)) return;
		await refuse(request, response, 503, errorsBody("API_UNAVAILABLE", "there are too many event streams"));
	}

	async #trace(request: IncomingMessage, response: ServerResponse, query: URLSearchParams): Promise<void> {
		const question = readTraceQuery(query);
		if (!("from" in question)) {
			const errors = question.map((message) => ({ code: "API_REQUEST" as const, message }));
			await refuse(request, response, 400, jsonText("errors", { errors }));
			return;
		}
		const now = performance.now();
		this.#traces = this.#traces.filter((at) => now - at < 1000);
		if (this.#traces.length >= TRACES_A_SECOND) {
			response.setHeader("retry-after", "1");
			const message = `at most ${TRACES_A_SECOND} packets are traced per second`;
			await refuse(request, response, 429, errorsBody("API_UNAVAILABLE", message));
			return;
		}
		this.#traces.push(now);
		const answer = await this.#options.answers.trace(JSON.stringify(question));
		await send(request, response, answer, { type: "application/json" });
	}
}

/** The JSON of an error record with one error. */
export function errorsBody(code: ErrorCode, message: string, hint?: string): string {
	return jsonText("errors", { errors: [{ code, message, ...(hint === undefined ? {} : { hint }) }] });
}

async function refuse(
	request: IncomingMessage,
	response: ServerResponse,
	status: number,
	text: string,
): Promise<void> {
	await send(request, response, new Answer(text), { type: "application/json", status });
}

interface SendOptions {
	readonly type: string;
	readonly status?: number;
	readonly cache?: string;
}

/** Compresses the body if the client accepts that; sends 304 if the client has it already. */
async function send(
	request: IncomingMessage,
	response: ServerResponse,
	content: Answer | PageFile,
	{ type, status = 200, cache = "no-store" }: SendOptions,
): Promise<void> {
	response.setHeader("cache-control", cache);
	response.setHeader("vary", "accept-encoding, authorization");
	if (status === 200) {
		response.setHeader("etag", content.etag);
		if (isKnown(request.headers["if-none-match"] ?? "", content.etag)) {
			response.writeHead(304).end();
			return;
		}
	}
	const zipped =
		content.bytes.length > 1024 &&
		/\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(request.headers["accept-encoding"]?.toString() ?? "");
	const bytes = !zipped
		? content.bytes
		: content instanceof Answer
			? await content.gzipped()
			: await compress(content.bytes);
	if (response.destroyed) return;
	response.writeHead(status, {
		"content-type": type,
		"content-length": bytes.length,
		...(zipped ? { "content-encoding": "gzip" } : {}),
	});
	response.end(request.method === "HEAD" ? undefined : bytes);
}

/** RFC 9110, 13.1.2: `*` is any; tags are compared weakly, because a proxy that compresses an answer marks its tag. */
function isKnown(ifNoneMatch: string, etag: string): boolean {
	return ifNoneMatch.split(",").some((one) => ["*", etag].includes(one.trim().replace(/^W\//, "")));
}
