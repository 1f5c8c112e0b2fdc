/**
 * Memory as declared tables of fields: packet headers, contexts, stack structures and map values are all
 * layouts, and a view is a layout at an address.
 */

import { buildError } from "../asm/instruction.ts";
import type { ByteOrder, ValueKind } from "./kind.ts";
import type { Value } from "./value.ts";

export interface Field {
	readonly bytes: number;
	readonly order: ByteOrder;
	readonly kind: ValueKind;
	/** Byte offset in the layout. */
	readonly offset: number;
	/** Bytes of the number within `bytes`, where the kernel keeps a shorter one in a longer field. */
	readonly significant?: number;
}

export type Fields = Readonly<Record<string, Field>>;

export interface Layout<F extends Fields = Fields> {
	readonly name: string;
	/** Up to the end of the last field. */
	readonly bytes: number;
	readonly fields: F;
}

/** A field without its offset, for layouts whose fields follow each other. */
export type UnplacedField = Omit<Field, "offset">;

function unplaced(bytes: number, order: ByteOrder): UnplacedField {
	return { bytes, order, kind: "scalar" };
}

export const u8: UnplacedField = unplaced(1, "none");
export const u16: UnplacedField = unplaced(2, "host");
export const u32: UnplacedField = unplaced(4, "host");
export const u64: UnplacedField = unplaced(8, "host");
export const be16: UnplacedField = unplaced(2, "network");
export const be32: UnplacedField = unplaced(4, "network");
export const be64: UnplacedField = unplaced(8, "network");
/** Bits as they stand in memory, to be compared, copied and summed whatever order they are in. */
export const raw16: UnplacedField = unplaced(2, "none");
export const raw32: UnplacedField = unplaced(4, "none");
export const raw64: UnplacedField = unplaced(8, "none");
/** An address that the program has stored for itself: its context, an entry of a map. */
export const address: UnplacedField = { bytes: 8, order: "none", kind: "pointer" };
/** Bytes that are not one number: an address, padding. Access parts of it with `part`. */
export function bytes(length: number): UnplacedField {
	return unplaced(length, "none");
}

/** The layout of fields that follow each other without gaps. */
export function layout<const F extends Readonly<Record<string, UnplacedField>>>(
	name: string,
	fields: F,
): Layout<{ readonly [K in keyof F]: Field }> {
	let offset = 0;
	const placed: Record<string, Field> = {};
	for (const [key, field] of Object.entries(fields)) {
		placed[key] = { ...field, offset };
		offset += field.bytes;
	}
	// Same keys, each with its offset.
	return { name, bytes: offset, fields: placed as { readonly [K in keyof F]: Field } };
}

/** The layout of fields with offsets of their own (gaps and overlaps allowed). */
export function sparseLayout<const F extends Fields>(name: string, fields: F): Layout<F> {
	const ends = Object.values(fields).map((field) => field.offset + field.bytes);
	return { name, bytes: Math.max(0, ...ends), fields };
}

/** One field at one address: what can be loaded and stored. */
export interface Place {
	/** `ipv4.daddr` */
	readonly name: string;
	readonly base: Value;
	/** From the register of `base`. */
	readonly offset: number;
	readonly field: Field;
}

/** The address that a view stands for, as an operand of calls. */
export interface Address {
	readonly name: string;
	readonly base: Value;
	readonly offset: number;
	readonly bytes: number;
}

export const ADDRESS: unique symbol = Symbol("address");

/** A layout at an address: one Place a field, by the field's name. */
export type View<F extends Fields = Fields> = { readonly [K in keyof F]: Place } & {
	readonly [ADDRESS]: Address;
};

/** `layout` at `offset` bytes from `base`. */
export function view<F extends Fields>(
	base: Value,
	layout: Layout<F>,
	offset = 0,
	name = layout.name,
): View<F> {
	const places: Record<string | symbol, Place | Address> = {
		[ADDRESS]: { name, base, offset, bytes: layout.bytes },
	};
	for (const [key, field] of Object.entries(layout.fields)) {
		places[key] = { name: `${name}.${key}`, base, offset: offset + field.offset, field };
	}
	// One Place a key of F, and ADDRESS.
	return places as View<F>;
}

/** Whether something is a place, and not a view, a value, a map or a number. */
export function isPlace(something: unknown): something is Place {
	return typeof something === "object" && something !== null && "base" in something && "field" in something;
}

/** All bytes of a view as one place, as for copying. */
export function whole(something: View<Fields>): Place {
	const { name, base, offset, bytes: length } = something[ADDRESS];
	return { name, base, offset, field: { ...bytes(length), offset: 0 } };
}

/**
 * The bytes `offset` to `offset + length` of a place, in memory order: a number where a register holds them. Throws
 * BpfError (BUILD) beyond the place.
 */
export function part(place: Place, offset: number, length: number): Place {
	const { bytes: size } = place.field;
	if (!Number.isInteger(offset) || offset < 0 || offset + length > size) {
		throw buildError(
			`take bytes ${offset}-${offset + length - 1} of ${place.name}: it has bytes 0-${size - 1}`,
		);
	}
	return {
		name: `${place.name}[${offset}..${offset + length - 1}]`,
		base: place.base,
		offset: place.offset + offset,
		field: { bytes: length, order: "none", kind: "scalar", offset: place.field.offset + offset },
	};
}
