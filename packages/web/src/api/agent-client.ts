/**
 * Reads the agent's HTTP API (docs/reference/openapi.yaml) and passes on its answers. The stream of events
 * reports changes; counters are polled once a second while the page is visible.
 */
import type { ErrorsRecord, EventRecord, FindingsRecord, StatusRecord, TraceRecord } from "@l3dsr/records";
import type { Message } from "../state/session.ts";
import { EventStreamReader } from "./event-stream.ts";
import { readRecord } from "./read-record.ts";

/** Interval for polling counters; longer if answers take long, so that the page costs little. */
const LOOK_MS = 1000;
const ANSWER_SHARE = 10;
/** Without any data for this time, the agent counts as silent. */
const SILENCE_MS = 5000;
/** Delay before a new attempt: at first, and at most. */
const RETRY_MS = { first: 500, most: 5000 } as const;

export interface AgentClientOptions {
	/** URL of the API, with a slash at its end. */
	readonly base: string;
	readonly receive: (message: Message) => void;
	/** Whether the page is visible, not in the background. */
	readonly watched: () => boolean;
}

/** The agent's answer if it refuses a request. */
export class Refusal extends Error {
	readonly status: number;
	readonly hint: string | undefined;

	constructor(status: number, message: string, hint: string | undefined) {
		super(message);
		this.name = "Refusal";
		this.status = status;
		this.hint = hint;
	}
}

export class AgentClient {
	readonly #base: string;
	readonly #receive: (message: Message) => void;
	readonly #watched: () => boolean;
	#token: string | undefined;
	#round: AbortController | undefined;
	#lookNow: () => void = () => {};

	constructor({ base, receive, watched }: AgentClientOptions) {
		this.#base = base;
		this.#receive = receive;
		this.#watched = watched;
	}

	/** Connects, and reconnects after every interruption, as long as the page is open. */
	async run(): Promise<never> {
		let retryMs: number = RETRY_MS.first;
		for (;;) {
			const startedMs = performance.now();
			await this.#connection();
			if (performance.now() - startedMs > 2 * RETRY_MS.most) retryMs = RETRY_MS.first;
			await this.#pause(retryMs);
			retryMs = Math.min(retryMs * 2, RETRY_MS.most);
		}
	}

	/**
	 * The result of tracing a packet. Throws Refusal with the agent's reason, TypeError if it does not
	 * answer.
	 */
	async trace(fields: Readonly<Record<string, string>>): Promise<TraceRecord> {
		return (await this.#json(`v1/trace?${new URLSearchParams(fields)}`)) as TraceRecord;
	}

	/** Tries again at once with this token, and keeps it as long as the page is open. */
	useToken(token: string): void {
		this.#token = token;
		this.#lookNow();
	}

	/** The page is visible again: its contents may be old. */
	look(): void {
		this.#lookNow();
	}

	async #connection(): Promise<void> {
		const round = new AbortController();
		this.#round = round;
		let why = "the connection was closed";
		try {
			// The stream first: it starts with past events, and then reports changes after the other answers.
			const stream = await this.#get("v1/events", round.signal, "text/event-stream");
			await this.#readFindings();
			await Promise.race([this.#follow(stream, round.signal), this.#count(round.signal)]);
		} catch (error) {
			if (error instanceof Refusal && error.status === 401) {
				this.#receive({ kind: "token wanted", refused: this.#token !== undefined });
				round.abort();
				return;
			}
			why = reasonOf(error);
		}
		round.abort();
		this.#receive({ kind: "lost", why });
	}

	/** Reads the stream to its end. */
	async #follow(answer: Response, signal: AbortSignal): Promise<void> {
		const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
		if (reader === undefined) throw new TypeError("the stream of events is empty");
		const events = new EventStreamReader();
		for (;;) {
			const { done, value } = await reader.read();
			if (done || signal.aborted) return;
			this.#receive({ kind: "heard" });
			for (const { name, data } of events.read(value)) {
				if (name === "event") this.#receive({ kind: "event", event: readRecord(data) as EventRecord });
				else if (name === "status") {
					await this.#readFindings();
					this.#lookNow();
				}
			}
		}
	}

	/** Polls the status. */
	async #count(signal: AbortSignal): Promise<void> {
		while (!signal.aborted) {
			const startedMs = performance.now();
			const record = (await this.#json("v1/status")) as StatusRecord;
			if (signal.aborted) return;
			this.#receive({ kind: "status", record });
			await this.#pause(Math.max(LOOK_MS, ANSWER_SHARE * (performance.now() - startedMs)));
			while (!this.#watched() && !signal.aborted) await this.#pause(LOOK_MS);
		}
	}

	async #readFindings(): Promise<void> {
		const { findings } = (await this.#json("v1/findings")) as FindingsRecord;
		this.#receive({ kind: "findings", findings });
	}

	async #json(path: string): Promise<unknown> {
		const silence = AbortSignal.timeout(SILENCE_MS);
		const signal = this.#round === undefined ? silence : AbortSignal.any([silence, this.#round.signal]);
		return readRecord(await (await this.#get(path, signal, "application/json")).text());
	}

	async #get(path: string, signal: AbortSignal, accept: string): Promise<Response> {
		const headers = {
			Accept: accept,
			...(this.#token === undefined ? {} : { Authorization: `Bearer ${this.#token}` }),
		};
		const answer = await fetch(this.#base + path, { headers, signal, cache: "no-store" });
		if (!answer.ok) throw await refusalOf(answer);
		return answer;
	}

	/** Returns after the time, or when `#lookNow` is called. */
	#pause(ms: number): Promise<void> {
		return new Promise((resolve) => {
			const timer = setTimeout(resolve, ms);
			this.#lookNow = () => {
				clearTimeout(timer);
				resolve();
			};
		});
	}
}

async function refusalOf(answer: Response): Promise<Refusal> {
	const fallback = `the agent answers ${answer.status}`;
	try {
		const { errors } = readRecord(await answer.text()) as ErrorsRecord;
		const [first] = errors;
		return new Refusal(answer.status, first?.message ?? fallback, first?.hint);
	} catch {
		return new Refusal(answer.status, fallback, undefined);
	}
}

function reasonOf(error: unknown): string {
	if (error instanceof DOMException && error.name === "TimeoutError") return "no answer within 5 seconds";
	if (error instanceof Refusal) return error.message;
	return "nothing answers at its address";
}
