/** The HTTP process as the agent sees it: the agent sends it events and answers its questions. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Writable } from "node:stream";
import type { DiagnosticsOf } from "../errors.ts";
import type { PacketQuestion } from "../inspect/trace/trace-question.ts";
import { jsonText } from "../json.ts";
import type { Identity } from "./credentials.ts";
import type { Shown, ShownEvent } from "./shown.ts";
import {
	decodeMessage,
	encodeMessage,
	type HttpSettings,
	LineReader,
	type Question,
	UPWARD,
} from "./wire.ts";

/** Questions are short lines. */
const MOST_QUESTION_BYTES = 4096;
/** The most questions in progress; a process that asks more is not ours, and is ended. */
const MOST_QUESTIONS = 256;
/** The most bytes that it may leave unread; beyond that, no more events are sent. */
const MOST_UNREAD_BYTES = 1 << 22;
/** How often the process is pinged, and how many unanswered pings end it. */
const PING_MS = 5000;
const MOST_UNANSWERED = { atStart: 12, later: 3 } as const;

export interface ChildOptions {
	/** The command line. */
	readonly command: readonly [string, ...string[]];
	/** The user to run as; undefined: this process's user. */
	readonly identity: Identity | undefined;
	/** Descriptors of sockets. The process gets each at the descriptor that `settings` names. */
	readonly fds: readonly number[];
	readonly settings: HttpSettings;
	readonly shown: Shown;
	readonly diagnosticsOf: DiagnosticsOf;
	/** Milliseconds between pings; default: 5000. */
	readonly pingMs?: number;
	/**
	 * Called once, when the process has ended, or was ended because it broke the protocol or did not answer. `how`: the
	 * reason, in words.
	 */
	readonly onEnd: (how: string) => void;
}

/** The first descriptor after stdin, stdout and stderr. */
export const FIRST_SOCKET_FD = 3;

export class Child {
	readonly #shown: Shown;
	readonly #diagnosticsOf: DiagnosticsOf;
	readonly #process: ChildProcess;
	/** Undefined if the process could not be started (EMFILE). */
	readonly #input: Writable | undefined;
	readonly #lines = new LineReader(MOST_QUESTION_BYTES);
	#answering = 0;
	/** Id of the last event sent. */
	#told = 0;
	#behind = false;
	#ended = false;
	readonly #pinging: NodeJS.Timeout;
	#pinged = 0;
	/** Pings since the last answer, and the most allowed. */
	#unanswered = 0;
	#mostUnanswered: number = MOST_UNANSWERED.atStart;
	readonly #onEnd: (how: string) => void;

	/** Throws what node's spawn throws. */
	constructor({
		command: [program, ...args],
		identity,
		fds,
		settings,
		shown,
		diagnosticsOf,
		pingMs = PING_MS,
		onEnd,
	}: ChildOptions) {
		this.#shown = shown;
		this.#diagnosticsOf = diagnosticsOf;
		this.#onEnd = onEnd;
		this.#process = spawn(program, args, {
			stdio: ["pipe", "pipe", "inherit", ...fds],
			cwd: "/",
			env: {},
			...(identity === undefined ? {} : { uid: identity.uid, gid: identity.gid }),
		});
		this.#process.on("error", (error) => this.#end(error.message));
		this.#process.on("exit", (code, signal) => this.#end(signal ?? `exit code ${code}`));
		const { stdin, stdout } = this.#process;
		this.#input = stdin ?? undefined;
		this.#input?.on("error", () => {}); // the process has ended; "exit" reports that
		this.#input?.on("drain", () => this.#catchUp());
		stdout?.on("error", () => {});
		stdout?.on("data", (piece: Uint8Array) => this.#read(piece));
		this.#write({ kind: "settings", number: 0, body: JSON.stringify(settings) });
		this.#behind = true;
		this.#catchUp();
		this.#pinging = setInterval(() => this.#ping(), pingMs).unref();
	}

	get pid(): number | undefined {
		return this.#process.pid;
	}

	tell(event: ShownEvent): void {
		if (event.id <= this.#told || this.#behind) return;
		if ((this.#input?.writableLength ?? 0) > MOST_UNREAD_BYTES) this.#behind = true;
		else {
			this.#told = event.id;
			this.#write({ kind: "event", number: event.id, body: event.body });
		}
	}

	/** A stopped or blocked process accepts connections but never answers them, so it is ended and replaced. */
	#ping(): void {
		if (this.#unanswered >= this.#mostUnanswered) {
			this.#process.kill("SIGKILL");
			this.#end(`it did not answer the agent ${this.#unanswered} times`);
			return;
		}
		this.#unanswered++;
		this.#write({ kind: "ping", number: ++this.#pinged, body: "" });
	}

	/** Ends the process without calling onEnd. */
	stop(): void {
		this.#ended = true;
		clearInterval(this.#pinging);
		this.#input?.destroy();
		this.#process.kill("SIGKILL");
	}

	/** Sends the events that were held back while it did not read. */
	#catchUp(): void {
		if (!this.#behind) return;
		this.#behind = false;
		for (const event of this.#shown.keptEvents()) this.tell(event);
	}

	#read(piece: Uint8Array): void {
		try {
			for (const line of this.#lines.read(piece)) {
				const message = decodeMessage(line, UPWARD);
				if (message === undefined || this.#answering >= MOST_QUESTIONS) {
					throw new RangeError(message === undefined ? "an invalid line" : "too many requests");
				}
				if (message.kind === "pong") {
					this.#unanswered = 0;
					this.#mostUnanswered = MOST_UNANSWERED.later;
				} else void this.#answer({ ...message, kind: message.kind });
			}
		} catch (error) {
			this.#process.kill("SIGKILL");
			this.#end(error instanceof Error ? error.message : String(error));
		}
	}

	async #answer({ kind, number, body }: Question): Promise<void> {
		this.#answering++;
		try {
			const text =
				kind === "trace"
					? await this.#shown.trace(JSON.parse(body) as PacketQuestion)
					: await this.#shown[kind]();
			this.#write({ kind: "answer", number, body: text });
		} catch (error) {
			const errors = this.#diagnosticsOf(error);
			this.#write({ kind: "refusal", number, body: jsonText("errors", { errors }) });
		} finally {
			this.#answering--;
		}
	}

	#write(message: Parameters<typeof encodeMessage>[0]): void {
		// A process that does not read gets no answer; its client has given up by then.
		if (this.#input?.writable === true && this.#input.writableLength <= MOST_UNREAD_BYTES)
			this.#input.write(encodeMessage(message));
	}

	#end(how: string): void {
		if (this.#ended) return;
		this.#ended = true;
		clearInterval(this.#pinging);
		this.#onEnd(how);
	}
}
