/**
 * What the agent and the process that speaks HTTP say to each other over two pipes. A message is a line: a word, a number,
 * and JSON. Nothing that the other process can ask for changes the host. Pure.
 */

/** What can be asked for. */
export const QUESTIONS = ["status", "findings", "events", "fleet", "trace"] as const;
export type QuestionKind = (typeof QUESTIONS)[number];

/** From the process that speaks HTTP. */
export interface Question {
	readonly kind: QuestionKind;
	/** The answer has the same. */
	readonly number: number;
	/** JSON of a PacketQuestion; empty for the others. */
	readonly body: string;
}

/** From the process that speaks HTTP: a question, or the answer to a `ping`, which has its number. */
export const UPWARD = [...QUESTIONS, "pong"] as const;

/** `settings` comes first; `event` has the event's id as its number; `ping` asks whether the process still works. */
export const REPLIES = ["settings", "answer", "refusal", "event", "ping"] as const;
export type ReplyKind = (typeof REPLIES)[number];

/** From the agent. */
export interface Reply {
	readonly kind: ReplyKind;
	readonly number: number;
	/** JSON: a record, or for `refusal` the record of errors; empty for `ping`. */
	readonly body: string;
}

export interface Message {
	readonly kind: (typeof UPWARD)[number] | ReplyKind;
	readonly number: number;
	readonly body: string;
}

/** What the process that speaks HTTP has to know. */
export interface HttpSettings {
	readonly version: string;
	/** Sockets that listen, which the process was started with. */
	readonly sockets: readonly {
		readonly fd: number;
		/** Who may connect is for the file's permissions to say: no token, and any name of the host. */
		readonly trusted: boolean;
	}[];
	/** Names by which clients may call this host, in lower case; addresses are always allowed. */
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

/** Undefined for a line that is not a message of one of `kinds`. */
export function decodeMessage<K extends string>(
	line: string,
	kinds: readonly K[],
): { readonly kind: K; readonly number: number; readonly body: string } | undefined {
	const [, word, digits, body = ""] = /^([a-z]+) (\d{1,15})(?: (.*))?$/s.exec(line) ?? [];
	const kind = kinds.find((one) => one === word);
	return kind === undefined ? undefined : { kind, number: Number(digits), body };
}

const LINE_FEED = 0x0a;

/** Puts the pieces that a pipe delivers together to lines. */
export class LineReader {
	readonly #mostBytes: number;
	#pieces: Uint8Array[] = [];
	#bytes = 0;

	/** Lines above `mostBytes` are a fault of the other side. */
	constructor(mostBytes: number) {
		this.#mostBytes = mostBytes;
	}

	/** The lines that end with this piece. Throws RangeError when one is too long. */
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
