/** Sets and maps of a table. */
import type { DataType } from "./data-type.ts";
import type { SetElement } from "./element.ts";
import type { PayloadBase } from "./expression.ts";
import type { SetFlag } from "./uapi.ts";

/** A field of the packet by its place, in bits: what `typeof` in a set's definition names. */
export interface FieldPlace {
	readonly base: PayloadBase;
	readonly offset: number;
	readonly length: number;
	/** A field that nft has a name for. Absent: it is written by its place, `@nh,8,8`. */
	readonly name?: NamedField;
}

/** Fields that a set can be declared `typeof`; by nft's numbers of protocol and field. */
export const NAMED_FIELDS = {
	"ip saddr": [12, 11],
	"ip daddr": [12, 12],
	"ip6 saddr": [13, 8],
	"ip6 daddr": [13, 9],
} as const satisfies Readonly<Record<string, readonly [protocol: number, field: number]>>;
export type NamedField = keyof typeof NAMED_FIELDS;

export interface SetType {
	readonly type: DataType;
	/** Where keys or data come from, for those who read the set's definition: `typeof @nh,8,8`. */
	readonly typeof?: FieldPlace;
}

/** What makes a set; its elements are added beside it. */
export interface SetSpec {
	readonly name: string;
	readonly key: SetType;
	/** Makes it a map. */
	readonly data?: SetType | "verdict";
	/** Beside `map`, which follows from `data`. */
	readonly flags?: readonly Exclude<SetFlag, "map">[];
	/** Most elements. */
	readonly size?: number;
	/** Each element counts the packets that meet it (Linux 5.7). `refused` is refused by kernels that know it. */
	readonly counters?: boolean | "refused";
	readonly comment?: string;
}

/** As the kernel has it. */
export interface NamedSet extends SetSpec {
	readonly flags: readonly Exclude<SetFlag, "map">[];
	readonly handle: bigint;
	readonly elements: readonly SetElement[];
}
