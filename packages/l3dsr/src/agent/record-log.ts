/** The records of this process: numbers them, keeps the latest, and hands each to the subscribers. */
import { KEPT_RECORDS, Recent } from "../model/recent.ts";
import { type AgentRecord, type NewRecord, severityOf } from "./record.ts";
import type { AgentState } from "./state.ts";

export type Subscriber = (record: AgentRecord) => void;

export class RecordLog implements Pick<AgentState, "records" | "subscribe"> {
	readonly #now: () => Date;
	readonly #kept = new Recent<AgentRecord>(KEPT_RECORDS);
	readonly #subscribers = new Set<Subscriber>();
	#lastId = 0;

	/** `now` is the wall clock. */
	constructor(now: () => Date) {
		this.#now = now;
	}

	write(record: NewRecord): AgentRecord {
		const id = ++this.#lastId;
		const time = this.#now().toISOString();
		const whole = { ...record, id, time, severity: severityOf(record) } as AgentRecord; // adds the same head to every kind
		this.#kept.add(whole, JSON.stringify(whole).length);
		for (const subscriber of [...this.#subscribers]) subscriber(whole);
		return whole;
	}

	records(after = 0): readonly AgentRecord[] {
		return this.#kept.items.filter(({ id }) => id > after);
	}

	subscribe(listener: Subscriber): Disposable {
		// Wrap it, so that a function that subscribes twice has two subscriptions.
		const subscriber: Subscriber = (record) => listener(record);
		this.#subscribers.add(subscriber);
		return { [Symbol.dispose]: () => void this.#subscribers.delete(subscriber) };
	}
}
