/** What sets hold, and rules too: verdicts, counters, elements. */
import type { DataType } from "./data-type.ts";
import type { VERDICTS } from "./uapi.ts";

/** What becomes of the packet, or which chain it comes to. */
export interface Verdict {
	readonly verdict: keyof typeof VERDICTS;
	/** Of `jump` and `goto`. */
	readonly chain?: string;
}

export interface Counter {
	readonly packets: bigint;
	readonly bytes: bigint;
}

export interface SetElement {
	/** Absent only for `*`, which stands for every other key. */
	readonly key?: Uint8Array;
	/** The element is the range `key`–`last`, both inclusive. */
	readonly last?: Uint8Array;
	/** Of a map. */
	readonly data?: Uint8Array | Verdict;
	/** What the element has counted, or starts with; Linux 5.7. */
	readonly counter?: Counter;
	readonly comment?: string;
	/** It has attributes that this package does not know (a timeout, an expression). */
	readonly more?: true;
}

/** Without a name: it belongs to one rule, as `{ 80, 443 }` does. */
export interface AnonymousSet {
	readonly key: DataType;
	/** Of a map; `verdict` of a verdict map. */
	readonly data?: DataType | "verdict";
	readonly elements: readonly SetElement[];
}
