/** Events that the loop receives. */
import type { LinkEvent, ReportedChange } from "../cause.ts";
import type { Trigger } from "../record.ts";

export interface HostEvent {
	readonly trigger: Trigger;
	/** Who made the change, if the kernel tells. */
	readonly change?: ReportedChange;
	readonly link?: LinkEvent;
	/** An nf_tables transaction deleted a table of ours. */
	readonly deleted?: true;
	/** One nf_tables transaction deleted several tables, and one of ours among them. */
	readonly flushed?: true;
	/** Programs were attached, detached or replaced. */
	readonly programs?: true;
}

/** A source of events. It reports from the event loop, and immediately when `read` is called. */
export interface EventReader extends Disposable {
	/** Reports the events so far. */
	read(): void;
}

/** Called on the event loop for each event. */
export type EventHandler = (event: HostEvent) => void;
