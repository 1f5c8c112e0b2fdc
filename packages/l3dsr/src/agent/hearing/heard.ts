/** What comes from outside into the loop. */
import type { Deed } from "../cause.ts";
import type { Trigger } from "../record.ts";

export interface Heard {
	readonly trigger: Trigger;
	/** Who did it, where the kernel tells. */
	readonly deed?: Deed;
	/** What happened to an interface, as a sentence: `interface eth0 was deleted`. */
	readonly link?: string;
	/** A transaction of nf_tables has deleted tables of ours and of others. */
	readonly flushed?: true;
	/** Programs are not as they were. */
	readonly programs?: true;
}

/** One way of hearing. It is heard on the event loop, and at once when `read` is called. */
export interface Ear extends Disposable {
	/** What has happened until now. */
	read(): void;
}

/** Called on the event loop, as often as something happens. */
export type Hear = (heard: Heard) => void;
