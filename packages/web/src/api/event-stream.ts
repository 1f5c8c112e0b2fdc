/**
 * Parses a stream of server-sent events (WHATWG HTML, "9.2.6 Interpreting an event stream"). It comes from
 * fetch() because EventSource cannot send a bearer token. Pure.
 */

export interface StreamedEvent {
	/** `message` if the stream gives no name. */
	readonly name: string;
	readonly data: string;
	/** The last id in the stream, of this event or an earlier one; empty if there was none. */
	readonly id: string;
}

export class EventStreamReader {
	#rest = "";
	#name = "";
	#data: string[] = [];
	#id = "";
	/** The last line ended with CR, so the next piece may begin with its LF. */
	#afterReturn = false;
	#begun = false;

	/** The events that are complete with this piece of the stream. Comments (`: …`) are not events. */
	read(piece: string): StreamedEvent[] {
		let text = piece;
		if (!this.#begun && text !== "") {
			this.#begun = true;
			if (text.startsWith("\ufeff")) text = text.slice(1);
		}
		if (this.#afterReturn && text !== "") {
			this.#afterReturn = false;
			if (text.startsWith("\n")) text = text.slice(1);
		}
		if (text.endsWith("\r")) this.#afterReturn = true;
		const lines = (this.#rest + text).split(/\r\n|\r|\n/);
		this.#rest = lines.pop() ?? "";
		return lines.flatMap((line) => this.#line(line));
	}

	#line(line: string): StreamedEvent[] {
		if (line === "") return this.#dispatch();
		const colon = line.indexOf(":");
		const field = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
		if (field === "event") this.#name = value;
		else if (field === "data") this.#data.push(value);
		else if (field === "id" && !value.includes("\0")) this.#id = value;
		return [];
	}

	#dispatch(): StreamedEvent[] {
		const [name, data] = [this.#name, this.#data];
		this.#name = "";
		this.#data = [];
		if (data.length === 0) return [];
		return [{ name: name === "" ? "message" : name, data: data.join("\n"), id: this.#id }];
	}
}
