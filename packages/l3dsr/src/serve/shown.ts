/** What the agent shows to whoever is allowed to look. Reading changes nothing; each answer is JSON on one line. */
import type { PacketQuestion } from "../inspect/trace/trace-question.ts";

export interface ShownEvent {
	/** From 1, in order. */
	readonly id: number;
	/** JSON on one line. */
	readonly body: string;
}

export interface Shown {
	/** As the host is now; what is asked for while it is looked at gets the same. */
	readonly status: () => Promise<string>;
	readonly findings: () => Promise<string>;
	readonly fleet: () => Promise<string>;
	readonly events: () => Promise<string>;
	/** The question has been read but not checked: it comes from a process that is not trusted. Throws L3dsrError. */
	readonly trace: (question: PacketQuestion) => Promise<string>;
	/** The events that are kept, in order. */
	readonly keptEvents: () => readonly ShownEvent[];
	/** Each new event, until disposed of. */
	readonly subscribe: (listener: (event: ShownEvent) => void) => Disposable;
}
