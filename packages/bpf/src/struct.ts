/**
 * Structures that programs and user space share: one table of fields says what the builder loads and stores, and what
 * user space encodes and decodes. Keys and values of maps, records of ring buffers, the stack, packet headers, contexts.
 */
import { type FieldType, Layout } from "@l3dsr/linux";
import type { Field, Layout as ProgramLayout, UnplacedField } from "./builder/layout.ts";
import * as fields from "./builder/layout.ts";

/**
 * As for `Layout` of @l3dsr/linux: in C's order and natural alignment. `raw16` to `raw64` are bits in the order in which
 * they stand in memory, which programs compare, copy and sum without regard to it.
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

export class Struct<F extends StructFields, P extends fields.Fields = Placed<F>>
	extends Layout<Encoded<F>>
	implements ProgramLayout<P>
{
	/** For notes and errors: `ipv4` in `ipv4.source`. */
	readonly name: string;
	/** Bytes, padding at the end included, as `size`. */
	readonly bytes: number;
	readonly fields: P;

	constructor(name: string, declared: F, refine: (placed: Placed<F>) => P) {
		super(encodedFields(declared));
		this.name = name;
		this.bytes = this.size;
		const placed = Object.fromEntries(
			this.places.map(({ name: key, offset }) => [key, { ...unplacedOf(declared[key]), offset }]),
		);
		this.fields = refine(placed as Placed<F>); // the same names, each with its place
	}
}

/** The structure of these fields. `refine` changes what programs see: other kinds of fields, or more of them. */
export function struct<const F extends StructFields>(name: string, declared: F): Struct<F>;
export function struct<const F extends StructFields, P extends fields.Fields>(
	name: string,
	declared: F,
	refine: (placed: Placed<F>) => P,
): Struct<F, P>;
export function struct<const F extends StructFields>(
	name: string,
	declared: F,
	refine: (placed: Placed<F>) => fields.Fields = (placed) => placed,
): Struct<F, fields.Fields> {
	return new Struct(name, declared, refine);
}

function encodedFields<F extends StructFields>(declared: F): Encoded<F> {
	const encoded = Object.entries(declared).map(([name, type]) => [
		name,
		typeof type === "string" && type.startsWith("raw") ? type.replace("raw", "u") : type,
	]);
	return Object.fromEntries(encoded) as Encoded<F>; // raw16 became u16, and so on
}

function unplacedOf(type: StructFieldType | undefined): UnplacedField {
	if (type === undefined) return fields.bytes(0);
	if (typeof type === "object") return fields.bytes("bytes" in type ? type.bytes : type.text);
	const { u8, u16, u32, u64, be16, be32, be64, raw16, raw32, raw64, address } = fields;
	return { u8, u16, u32, s32: u32, u64, be16, be32, be64, raw16, raw32, raw64, pointer: address }[type];
}
