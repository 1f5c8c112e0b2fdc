/**
 * Structures that programs and user space share: one table of fields defines what the builder loads and
 * stores and what user space encodes and decodes. For keys and values of maps, records of ring buffers, the
 * stack, packet headers and contexts.
 */
import { type FieldType, Layout } from "@l3dsr/linux";
import type { ByteOrder, ValueKind } from "./builder/kind.ts";
import type { Field, Fields, Structure } from "./builder/view.ts";

/**
 * The types of `Layout` in @l3dsr/linux, in C's order and natural alignment. `raw16` to `raw64` are bits in
 * memory order, which programs compare, copy and sum without a byte order.
 */
export type StructFieldType = FieldType | "raw16" | "raw32" | "raw64";
export type StructFields = { readonly [name: string]: StructFieldType };

/** The same fields as user space encodes them. */
type Encoded<F extends StructFields> = {
	readonly [K in keyof F]: F[K] extends "raw16"
		? "u16"
		: F[K] extends "raw32"
			? "u32"
			: F[K] extends "raw64"
				? "u64"
				: F[K] extends FieldType
					? F[K]
					: never;
};

/** The same fields as programs load and store them. */
type Placed<F extends StructFields> = { readonly [K in keyof F]: Field };

export class Struct<F extends StructFields, P extends Fields = Placed<F>>
	extends Layout<Encoded<F>>
	implements Structure<P>
{
	/** For notes and errors: `ipv4` in `ipv4.source`. */
	readonly name: string;
	/** Size in bytes with the padding at the end; equal to `size`. */
	readonly bytes: number;
	readonly fields: P;

	constructor(name: string, declared: F, refine: (placed: Placed<F>) => P) {
		super(encodedFields(declared));
		this.name = name;
		this.bytes = this.size;
		const placed = Object.fromEntries(
			Object.entries(declared).map(([key, type]) => {
				const offset = this.offsetOf(key as keyof F & string); // a key of `declared`
				return [key, { ...unplacedOf(type), offset }];
			}),
		);
		this.fields = refine(placed as Placed<F>); // the same names, each with its place
	}
}

/**
 * Defines a structure. `refine` changes the fields that programs see: other kinds of fields, or more of them.
 */
export function struct<const F extends StructFields>(name: string, declared: F): Struct<F>;
export function struct<const F extends StructFields, P extends Fields>(
	name: string,
	declared: F,
	refine: (placed: Placed<F>) => P,
): Struct<F, P>;
export function struct<const F extends StructFields>(
	name: string,
	declared: F,
	refine: (placed: Placed<F>) => Fields = (placed) => placed,
): Struct<F, Fields> {
	return new Struct(name, declared, refine);
}

function encodedFields<F extends StructFields>(declared: F): Encoded<F> {
	const encoded = Object.entries(declared).map(([name, type]) => [
		name,
		typeof type === "string" && type.startsWith("raw") ? type.replace("raw", "u") : type,
	]);
	return Object.fromEntries(encoded) as Encoded<F>; // raw16 became u16, and so on
}

/** A field as programs see it, without its offset. */
type UnplacedField = Omit<Field, "offset">;

function unplaced(bytes: number, order: ByteOrder, kind: ValueKind = "scalar"): UnplacedField {
	return { bytes, order, kind };
}

const UNPLACED: Readonly<Record<Extract<StructFieldType, string>, UnplacedField>> = {
	u8: unplaced(1, "none"),
	u16: unplaced(2, "host"),
	u32: unplaced(4, "host"),
	s32: unplaced(4, "host"),
	u64: unplaced(8, "host"),
	be16: unplaced(2, "network"),
	be32: unplaced(4, "network"),
	be64: unplaced(8, "network"),
	raw16: unplaced(2, "none"),
	raw32: unplaced(4, "none"),
	raw64: unplaced(8, "none"),
	/** An address that the program has stored for itself, such as its context or an element of a map. */
	pointer: unplaced(8, "none", "pointer"),
};

/** Bytes and text are not a single number; use `part` for parts of them. */
function unplacedOf(type: StructFieldType): UnplacedField {
	if (typeof type === "string") return UNPLACED[type];
	return unplaced("bytes" in type ? type.bytes : type.text, "none");
}
