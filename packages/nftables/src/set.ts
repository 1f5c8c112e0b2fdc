/** Sets and maps of a table. */
import type { DataType } from "./data-type.ts";
import type { SetElement } from "./element.ts";
import type { PayloadBase } from "./expression.ts";
import type { OBJECT_TYPES, SetFlag } from "./uapi.ts";

/** The place of a packet field, in bits, that `typeof` in a set's definition refers to. */
export interface FieldPlace {
	readonly base: PayloadBase;
	readonly offset: number;
	readonly length: number;
	/** The field's name in nft. If absent, it is printed as `@nh,8,8`. */
	readonly name?: NamedField;
}

/** Fields that a set's `typeof` can name, by nft's numbers of protocol and field. */
export const NAMED_FIELDS = {
	"ip saddr": [12, 11],
	"ip daddr": [12, 12],
	"ip6 saddr": [13, 8],
	"ip6 daddr": [13, 9],
} as const satisfies Readonly<Record<string, readonly [protocol: number, field: number]>>;
export type NamedField = keyof typeof NAMED_FIELDS;

export interface SetType {
	readonly type: DataType;
	/** Where keys or data come from, for readers of the set's definition: `typeof @nh,8,8`. */
	readonly typeof?: FieldPlace;
}

/** The definition of a set, without elements. */
export interface SetSpec {
	readonly name: string;
	readonly key: SetType;
	/** If present, the set is a map. */
	readonly data?: SetType | "verdict";
	/** Without `map`, which follows from `data`. */
	readonly flags?: readonly Exclude<SetFlag, "map">[];
	/** The maximum number of elements. */
	readonly size?: number;
	/**
	 * Each element counts the packets that match it (Linux 5.7). `refused` requests a form that kernels with
	 * the feature refuse.
	 */
	readonly counters?: boolean | "refused";
	/** If present, the set is a map to named objects of this type, and has no `data`. */
	readonly object?: keyof typeof OBJECT_TYPES;
	/** Milliseconds after which an element goes that has no timeout of its own. The set has the flag `timeout`. */
	readonly timeout?: bigint;
	/** Milliseconds between removals of elements whose time is over. */
	readonly gcInterval?: number;
	/** `memory`: the kernel picks the form that takes the least memory, instead of the fastest. */
	readonly policy?: "memory";
	/** nft merges ranges that touch when it adds them. */
	readonly autoMerge?: true;
	/**
	 * What programs keep with the set, as it was read. Absent if it is what this package writes for the rest of
	 * the definition.
	 */
	readonly userData?: Uint8Array;
	readonly comment?: string;
}

/** A set as the kernel reports it. */
export interface NamedSet extends SetSpec {
	readonly flags: readonly Exclude<SetFlag, "map">[];
	readonly handle: bigint;
	/** Each element gets an expression that this package does not know, such as a quota. */
	readonly more?: true;
	readonly elements: readonly SetElement[];
}
