/** Verdicts, counters and elements: the contents of sets that rules have too. */
import type { DataType } from "./data-type.ts";
import type { VERDICTS } from "./uapi.ts";

/** What happens to the packet, or the chain that handles it next. */
export interface Verdict {
	readonly verdict: keyof typeof VERDICTS;
	/** The chain of `jump` and `goto`. */
	readonly chain?: string;
}

export interface Counter {
	readonly packets: bigint;
	readonly bytes: bigint;
}

export interface SetElement {
	/** Absent only for `*`, the catch-all element. */
	readonly key?: Uint8Array;
	/** If present, the element is the range `key`–`last`, both inclusive. */
	readonly last?: Uint8Array;
	/** Maps only. */
	readonly data?: Uint8Array | Verdict;
	/** What the element has counted, or its initial values; since Linux 5.7. */
	readonly counter?: Counter;
	readonly comment?: string;
	/** Maps to named objects only: the object's name. */
	readonly object?: string;
	/** Milliseconds after which the element goes, if not those of its set. */
	readonly timeout?: bigint;
	/** Milliseconds until the element goes. */
	readonly expires?: bigint;
	/** The element has an expression that this package does not know, such as a quota. */
	readonly more?: true;
}

/** A set without a name that belongs to one rule, like `{ 80, 443 }`. */
export interface AnonymousSet {
	readonly key: DataType;
	/** Maps only; `verdict` for a verdict map. */
	readonly data?: DataType | "verdict";
	readonly elements: readonly SetElement[];
	/** As in `NamedSet`. */
	readonly userData?: Uint8Array;
}
