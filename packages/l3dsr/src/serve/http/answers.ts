/**
 * Caches the agent's answers: however many clients ask, each question goes to the agent at most once at a time, and
 * not again until the answer is too old.
 */
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { encodeMessage, type Question, type QuestionKind, type Reply } from "../wire.ts";

/** The age up to which an answer is given again, in milliseconds. */
const FRESH_MS: Readonly<Record<Exclude<QuestionKind, "trace">, number>> = {
	status: 1000,
	findings: 10_000,
	events: 60_000,
	fleet: 60_000,
};
const PATIENCE_MS = 10_000;

export type SharedKind = keyof typeof FRESH_MS;

const compress = promisify(gzip);

/** One record of the agent's; what is derived from it is computed at most once. */
export class Answer {
	/** JSON. */
	readonly bytes: Buffer;
	readonly etag: string;
	#parsed: unknown;
	#gzipped: Promise<Buffer> | undefined;

	constructor(text: string) {
		this.bytes = Buffer.from(text);
		this.etag = `"${createHash("sha256").update(this.bytes).digest("base64url").slice(0, 22)}"`;
	}

	get parsed(): unknown {
		this.#parsed ??= JSON.parse(this.bytes.toString());
		return this.#parsed;
	}

	gzipped(): Promise<Buffer> {
		this.#gzipped ??= compress(this.bytes, { level: 1 });
		return this.#gzipped;
	}
}

/** The agent could not answer. `errors`: JSON of the error record. */
export class AgentRefusal extends Error {
	readonly errors: string;

	constructor(errors: string) {
		super("the agent refuses");
		this.name = "AgentRefusal";
		this.errors = errors;
	}
}

interface Waiting {
	readonly resolve: (answer: Answer) => void;
	readonly reject: (error: Error) => void;
	readonly timer: NodeJS.Timeout;
}

export class Answers {
	readonly #send: (line: string) => void;
	readonly #now: () => number;
	readonly #waiting = new Map<number, Waiting>();
	readonly #kept = new Map<SharedKind, { readonly at: number; readonly answer: Promise<Answer> }>();
	#asked = 0;

	/** `send` passes a line to the agent; `now`: monotonic clock, in milliseconds. */
	constructor(send: (line: string) => void, now: () => number = () => performance.now()) {
		this.#send = send;
		this.#now = now;
	}

	/** Rejects with AgentRefusal, or with Error if the agent does not answer. */
	get(kind: SharedKind): Promise<Answer> {
		const kept = this.#kept.get(kind);
		if (kept !== undefined && this.#now() - kept.at < FRESH_MS[kind]) return kept.answer;
		const answer = this.#ask({ kind, body: "" });
		const fresh = { at: this.#now(), answer };
		this.#kept.set(kind, fresh);
		// Do not keep a failure: the next request asks again.
		answer.catch(() => {
			if (this.#kept.get(kind) === fresh) this.#kept.delete(kind);
		});
		return answer;
	}

	trace(body: string): Promise<Answer> {
		return this.#ask({ kind: "trace", body });
	}

	/** Drops all answers, including those on their way, because something has changed. */
	forget(): void {
		this.#kept.clear();
	}

	/** Handles an answer or a refusal from the agent. */
	receive({ kind, number, body }: Reply): void {
		const waiting = this.#waiting.get(number);
		if (waiting === undefined) return;
		this.#waiting.delete(number);
		clearTimeout(waiting.timer);
		if (kind === "refusal") waiting.reject(new AgentRefusal(body));
		else waiting.resolve(new Answer(body));
	}

	#ask(question: Omit<Question, "number">): Promise<Answer> {
		const number = ++this.#asked;
		return new Promise<Answer>((resolve, reject) => {
			const timer = setTimeout(() => {
				this.#waiting.delete(number);
				reject(new Error(`the agent has not answered within ${PATIENCE_MS / 1000} seconds`));
			}, PATIENCE_MS);
			timer.unref();
			this.#waiting.set(number, { resolve, reject, timer });
			this.#send(encodeMessage({ ...question, number }));
		});
	}
}
