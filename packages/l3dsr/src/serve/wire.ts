/**
 * The protocol between the agent and the HTTP process, over two pipes. A message is a line: a word, a number and
 * JSON. No message from the HTTP process can change the host. Pure.
 */

/** What the HTTP process can ask for. */
export const QUESTIONS = ["status", "findings", "events", "fleet", "trace"] as const;
export type QuestionKind = (typeof QUESTIONS)[number];

/** Sent by the HTTP process. */
export interface Question {
	readonly kind: QuestionKind;
	/** The answer has the same number. */
	readonly number: number;
	/** JSON of a PacketQuestion for `trace`; else empty. */
	readonly body: string;
}

/** Messages from the HTTP process: a question, or `pong` with the number of the `ping`. */
export const UPWARD = [...QUESTIONS, "pong"] as const;

/** `settings` comes first; the number of an `event` is its id; `ping` asks whether the process still works. */
export const REPLIES = ["settings", "answer", "refusal", "event", "ping"] as const;
export type ReplyKind = (typeof REPLIES)[number];

/** Sent by the agent. */
export interface Reply {
	readonly kind: ReplyKind;
	readonly number: number;
	/** JSON: a record, or the error record for `refusal`; empty for `ping`. */
	readonly body: string;
}

export interface Message {
	readonly kind: (typeof UPWARD)[number] | ReplyKind;
	readonly number: number;
	readonly body: string;
}

/** What the HTTP process needs to know. */
export interface HttpSettings {
	readonly version: string;
	/** Listening sockets that the process inherits. */
	readonly sockets: readonly {
		readonly fd: number;
		/** The file's permissions decide who may connect: no token is needed, and any host name is accepted. */
		readonly trusted: boolean;
	}[];
	/** Names that clients may use for this host, in lower case; addresses are always allowed. */
	readonly hosts: readonly string[];
	/** SHA-256 of the token, in hex. */
	readonly tokenHash?: string;
	/** PEM. */
	readonly tls?: { readonly certificate: string; readonly key: string };
	/** The folder of the page's files. */
	readonly page: string;
}

export function encodeMessage({ kind, number, body }: Message): string {
	return body === "" ? `${kind} ${number}\n` : `${kind} ${number} ${body}\n`;
}

/** Undefined if the line is not a message of one of `kinds`. */
export function decodeMessage<K extends string>(
	line: string,
	kinds: readonly K[],
): { readonly kind: K; readonly number: number; readonly body: string } | undefined {
	const [, word, digits, body = ""] = /^([a-z]+) (\d{1,15})(?: (.*))?$/s.exec(line) ?? [];
	const kind = kinds.find((one) => one === word);
	return kind === undefined ? undefined : { kind, number: Number(digits), body };
}

const LINE_FEED = 0x0a;

/** Joins the pieces that a pipe delivers into lines. */
export class LineReader {
	readonly #mostBytes: number;
	#pieces: Uint8Array[] = [];
	#bytes = 0;

	/** A line above `mostBytes` is a fault of the other side. */
	constructor(mostBytes: number) {
		this.#mostBytes = mostBytes;
	}

	/** The lines completed by this piece. Throws RangeError if one is too long. */
	read(piece: Uint8Array): string[] {
		const lines: string[] = [];
		let start = 0;
		for (;;) {
			const end = piece.indexOf(LINE_FEED, start);
			const part = piece.subarray(start, end < 0 ? undefined : end);
			this.#bytes += part.length;
			if (this.#bytes > this.#mostBytes) throw new RangeError(`a line above ${this.#mostBytes} bytes`);
			this.#pieces.push(part);
			if (end < 0) return lines;
			lines.push(Buffer.concat(this.#pieces).toString("utf8"));
			this.#pieces = [];
			this.#bytes = 0;
			start = end + 1;
		}
	}
}
