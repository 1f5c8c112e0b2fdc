/** What the agent shows to clients. Reading changes nothing; each answer is JSON on one line. */
import type { PacketQuestion } from "../inspect/trace/trace-question.ts";

export interface ShownEvent {
	/** Counts from 1, in order. */
	readonly id: number;
	/** JSON on one line. */
	readonly body: string;
}

export interface Shown {
	/** The host as it is now; calls made while it is read share the result. */
	readonly status: () => Promise<string>;
	readonly findings: () => Promise<string>;
	readonly fleet: () => Promise<string>;
	readonly events: () => Promise<string>;
	/** Throws L3dsrError. The question has been parsed but not checked: it comes from a process that is not trusted. */
	readonly trace: (question: PacketQuestion) => Promise<string>;
	/** The events kept so far, in order. */
	readonly keptEvents: () => readonly ShownEvent[];
	/** Calls `listener` with each new event until disposed of. */
	readonly subscribe: (listener: (event: ShownEvent) => void) => Disposable;
}
