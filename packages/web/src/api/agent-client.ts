/**
 * Reads the agent's HTTP API (docs/reference/openapi.yaml) and says what it heard. The stream of events says when
 * something has changed; counters are asked for once a second while somebody looks.
 */
import type { ErrorsRecord, EventRecord, FindingsRecord, StatusRecord, TraceRecord } from "@l3dsr/records";
import type { Message } from "../state/session.ts";
import { EventStreamReader } from "./event-stream.ts";

/** How often counters are asked for; less often where an answer takes long, so that looking costs little. */
const LOOK_MS = 1000;
const ANSWER_SHARE = 10;
/** Nothing at all for so long, and the agent counts as silent. */
const SILENCE_MS = 5000;
/** Before it is tried again: at first, and at most. */
const RETRY_MS = { first: 500, most: 5000 } as const;

export interface AgentClientOptions {
	/** Where the API is, with a slash at its end. */
	readonly base: string;
	readonly receive: (message: Message) => void;
	/** Whether anybody looks: the page is not in the background. */
	readonly watched: () => boolean;
}

/** What the agent answers instead of what was asked for. */
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

	/** Connects, and again whenever it was cut off, for as long as the page is there. */
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

	/** What happens to this packet. Throws Refusal with the agent's reason, TypeError when it does not answer. */
	async trace(fields: Readonly<Record<string, string>>): Promise<TraceRecord> {
		return (await this.#json(`v1/trace?${new URLSearchParams(fields)}`)) as TraceRecord;
	}

	/** Tries again with this token, at once. It is kept for as long as the page is there. */
	useToken(token: string): void {
		this.#token = token;
		this.#lookNow();
	}

	/** Somebody looks again: what is shown may be old. */
	look(): void {
		this.#lookNow();
	}

	async #connection(): Promise<void> {
		const round = new AbortController();
		this.#round = round;
		let why = "the connection was closed";
		try {
			// The stream first: it begins with what has happened, and tells of what changes behind the answers.
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
				if (name === "event") this.#receive({ kind: "event", event: JSON.parse(data) as EventRecord });
				else if (name === "status") {
					await this.#readFindings();
					this.#lookNow();
				}
			}
		}
	}

	/** Asks for the status again and again. */
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
		return await (await this.#get(path, signal, "application/json")).json();
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

	/** Until the time is over, or `#lookNow` is called. */
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
		const { errors } = (await answer.json()) as ErrorsRecord;
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
