/**
 * The data of the page: the latest records, past events, and the state of the connection. Messages go in; the
 * page draws the snapshot that comes out.
 */
import type { DirectedServiceRecord, EventRecord, FindingRecord, StatusRecord } from "@l3dsr/records";
import { directedKey, rowsOf } from "./services.ts";
import { type Sample, Timeline } from "./timeline.ts";

export type Message =
	| { readonly kind: "status"; readonly record: StatusRecord }
	| { readonly kind: "findings"; readonly findings: readonly FindingRecord[] }
	/** A new event, or one from before the page connected. */
	| { readonly kind: "event"; readonly event: EventRecord }
	| { readonly kind: "heard" }
	| { readonly kind: "lost"; readonly why: string }
	| { readonly kind: "token wanted"; readonly refused: boolean };

/**
 * `live`: the agent has just sent data. `lost`: the agent is silent, and the page shows old data. `token
 * wanted`: the agent requires its token; `refused` if it rejected one.
 */
export type Connection =
	| { readonly state: "connecting" }
	| { readonly state: "live" }
	| { readonly state: "lost"; readonly why: string; readonly sinceMs: number }
	| { readonly state: "token wanted"; readonly refused: boolean };

export interface Snapshot {
	readonly connection: Connection;
	readonly status: StatusRecord | undefined;
	/** When that status came, by this page's clock. */
	readonly statusMs: number | undefined;
	readonly findings: readonly FindingRecord[];
	/** Newest first. */
	readonly events: readonly EventRecord[];
	/** When the agent last sent data, by this page's clock. */
	readonly heardMs: number | undefined;
	readonly timeline: Timeline;
	/** The latest important change, for screen readers. */
	readonly announcement: string;
}

/**
 * How long ago something happened at the host, in ms. `time` is by the host's clock, which may differ from the clock of
 * this page by any amount; `nowMs` is by this page's.
 */
export function age({ status, statusMs }: Snapshot, time: string, nowMs: number): number {
	if (status === undefined || statusMs === undefined) return 0;
	return Date.parse(status.time) - Date.parse(time) + (nowMs - statusMs);
}

/** The maximum number of events kept. */
const MOST_EVENTS = 1000;

/** The timeline's key for the sum of all services. */
export const TOTAL = "total";
export const realKey = (service: DirectedServiceRecord, address: string): string =>
	`${directedKey(service)} ${address}`;

export class Session {
	readonly #timeline = new Timeline();
	readonly #now: () => number;
	#snapshot: Snapshot;
	#changed: () => void = () => {};

	/** `now`: milliseconds since 1970. */
	constructor(now: () => number) {
		this.#now = now;
		this.#snapshot = {
			connection: { state: "connecting" },
			status: undefined,
			statusMs: undefined,
			findings: [],
			events: [],
			heardMs: undefined,
			timeline: this.#timeline,
			announcement: "",
		};
	}

	get snapshot(): Snapshot {
		return this.#snapshot;
	}

	/** `changed` is called after each message that changed the snapshot. There is one listener, the page. */
	listen(changed: () => void): void {
		this.#changed = changed;
	}

	receive(message: Message): void {
		const before = this.#snapshot;
		if (message.kind === "status") this.#measure(message.record);
		const after = next(before, message, this.#now());
		const announcement = announce(before, after);
		this.#snapshot = announcement === undefined ? after : { ...after, announcement };
		this.#changed();
	}

	#measure(record: StatusRecord): void {
		const rows = rowsOf(record);
		const reals = (record.director?.services ?? []).flatMap((service) =>
			service.reals.map(
				({ address, packets, bytes }): Sample => ({
					key: realKey(service, address),
					packets,
					bytes,
				}),
			),
		);
		this.#timeline.add(Date.parse(record.time), [...rows, ...reals]);
		this.#timeline.sum(
			TOTAL,
			rows.map(({ key }) => key),
		);
	}
}

function next(before: Snapshot, message: Message, nowMs: number): Snapshot {
	const heard = { ...before, connection: { state: "live" }, heardMs: nowMs } as const;
	switch (message.kind) {
		case "status":
			return { ...heard, status: message.record, statusMs: nowMs };
		case "findings":
			return { ...heard, findings: message.findings };
		case "event":
			return { ...heard, events: withEvent(before.events, message.event) };
		case "heard":
			return heard;
		case "lost": {
			const sinceMs = before.connection.state === "lost" ? before.connection.sinceMs : nowMs;
			return { ...before, connection: { state: "lost", why: message.why, sinceMs } };
		}
		case "token wanted":
			return { ...before, connection: { state: "token wanted", refused: message.refused } };
	}
}

/**
 * A connection starts with the events that the agent still has; events from before a restart of the agent
 * stay.
 */
function withEvent(events: readonly EventRecord[], event: EventRecord): readonly EventRecord[] {
	if (events.some(({ id, time }) => id === event.id && time === event.time)) return events;
	return [event, ...events].slice(0, MOST_EVENTS);
}

/** Rates change all the time and are not announced; changed states and a silent agent are. */
function announce(before: Snapshot, after: Snapshot): string | undefined {
	if (before.connection.state !== after.connection.state) {
		if (after.connection.state === "lost") return "The agent does not answer. The values are outdated.";
		if (before.connection.state === "lost" && after.connection.state === "live")
			return "The agent answers again.";
	}
	if (before.status === undefined || after.status === undefined || before.status === after.status)
		return undefined;
	const was = new Map(rowsOf(before.status).map(({ key, state }) => [key, state]));
	const changes = rowsOf(after.status).filter(({ key, state }) => was.has(key) && was.get(key) !== state);
	const [first] = changes;
	if (first === undefined) return undefined;
	if (changes.length > 1) return `${changes.length} services changed their state.`;
	return `Service ${first.name} is ${first.state}.`;
}
