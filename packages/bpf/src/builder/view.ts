/** Named memory: a view is a structure (`struct()`) at an address, a place is one field of it. */

import { buildError } from "../asm/instruction.ts";
import type { ByteOrder, ValueKind } from "./kind.ts";
import type { Value } from "./value.ts";

export interface Field {
	readonly bytes: number;
	readonly order: ByteOrder;
	readonly kind: ValueKind;
	/** Byte offset in the structure. */
	readonly offset: number;
	/** Size of the number in bytes if it is shorter than the field. */
	readonly significant?: number;
}

export type Fields = Readonly<Record<string, Field>>;

/** A `struct()` as programs see it. */
export interface Structure<F extends Fields = Fields> {
	readonly name: string;
	/** Including the padding at the end. */
	readonly bytes: number;
	readonly fields: F;
}

/** A field at an address, which can be loaded and stored. */
export interface Place {
	/** `ipv4.daddr` */
	readonly name: string;
	readonly base: Value;
	/** Relative to the register of `base`. */
	readonly offset: number;
	readonly field: Field;
}

/** The address of a view, as an operand of calls. */
export interface Address {
	readonly name: string;
	readonly base: Value;
	readonly offset: number;
	readonly bytes: number;
}

export const ADDRESS: unique symbol = Symbol("address");

/** A structure at an address: one Place for each field, by the field's name. */
export type View<F extends Fields = Fields> = { readonly [K in keyof F]: Place } & {
	readonly [ADDRESS]: Address;
};

/** `structure` at `offset` bytes from `base`. */
export function view<F extends Fields>(
	base: Value,
	structure: Structure<F>,
	offset = 0,
	name = structure.name,
): View<F> {
	const places: Record<string | symbol, Place | Address> = {
		[ADDRESS]: { name, base, offset, bytes: structure.bytes },
	};
	for (const [key, field] of Object.entries(structure.fields)) {
		places[key] = { name: `${name}.${key}`, base, offset: offset + field.offset, field };
	}
	// One Place for each key of F, and ADDRESS.
	return places as View<F>;
}

/** Distinguishes a place from a view, a value, a map or a number. */
export function isPlace(something: unknown): something is Place {
	return typeof something === "object" && something !== null && "base" in something && "field" in something;
}

/** All bytes of a view as one place, for example for copying. */
export function whole(something: View<Fields>): Place {
	const { name, base, offset, bytes: length } = something[ADDRESS];
	return { name, base, offset, field: { bytes: length, order: "none", kind: "scalar", offset: 0 } };
}

/**
 * The bytes `offset` to `offset + length` of a place, in memory order; a number if they fit a register.
 * Throws BpfError (BUILD) beyond the place's end.
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
