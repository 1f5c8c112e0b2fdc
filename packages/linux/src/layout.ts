/**
 * C structures as tables of fields: each is declared once, by name and type, in the kernel's order.
 *
 * Offsets follow C's rule of natural alignment; padding that the kernel names is named here too. Numbers are
 * little-endian, as on every machine that koffi, BPF and Node all support; fields in network order have the
 * types `be16` and `be32`.
 */
import { addressOf } from "./libc.ts";

/**
 * `pointer` is a u64 that holds an address; `bytes` and `text` are fixed arrays; text ends at its first 0.
 */
export type FieldType =
	| "u8"
	| "u16"
	| "u32"
	| "s32"
	| "u64"
	| "be16"
	| "be32"
	| "be64"
	| "pointer"
	| { readonly bytes: number }
	| { readonly text: number };

export type Fields = { readonly [name: string]: FieldType };

type Input<T extends FieldType> = T extends "u64" | "be64"
	? bigint | number
	: T extends "pointer"
		? Uint8Array | bigint | null
		: T extends { bytes: number }
			? Uint8Array
			: T extends { text: number }
				? string
				: number;

type Output<T extends FieldType> = T extends "u64" | "be64" | "pointer"
	? bigint
	: T extends { bytes: number }
		? Uint8Array
		: T extends { text: number }
			? string
			: number;

/** Values to encode; a missing field is 0. */
export type Encodable<F extends Fields> = { readonly [N in keyof F]?: Input<F[N]> | undefined };
export type Decoded<F extends Fields> = { readonly [N in keyof F]: Output<F[N]> };

interface Place {
	readonly name: string;
	readonly type: FieldType;
	readonly offset: number;
}

const SIZES = { u8: 1, u16: 2, be16: 2, u32: 4, s32: 4, be32: 4, u64: 8, be64: 8, pointer: 8 } as const;

function sizeOf(type: FieldType): number {
	if (typeof type === "string") return SIZES[type];
	return "bytes" in type ? type.bytes : type.text;
}

function alignmentOf(type: FieldType): number {
	return typeof type === "string" ? SIZES[type] : 1;
}

function roundUp(value: number, step: number): number {
	return Math.ceil(value / step) * step;
}

/** A structure: its size and offsets in bytes, and its conversion in both directions. */
export class Layout<const F extends Fields> {
	readonly #fields: Fields;
	/** Computed at the first use: a command declares dozens of structures and uses a few. */
	#laidOut: { readonly places: readonly Place[]; readonly size: number } | undefined;

	constructor(fields: F) {
		this.#fields = fields;
	}

	get size(): number {
		this.#laidOut ??= layOut(this.#fields);
		return this.#laidOut.size;
	}

	/** The fields in order, with their offsets in bytes. */
	get places(): readonly Place[] {
		this.#laidOut ??= layOut(this.#fields);
		return this.#laidOut.places;
	}

	/** Bytes from the start of the structure. Throws RangeError for an unknown name. */
	offsetOf(name: keyof F & string): number {
		const place = this.places.find((candidate) => candidate.name === name);
		if (place === undefined) throw new RangeError(`no field ${name}`);
		return place.offset;
	}

	/**
	 * The structure's bytes. Memory given for a pointer is stored only as an address: keep it referenced
	 * until the kernel is done with it. Throws RangeError for text or bytes longer than their field.
	 */
	encode(values: Encodable<F>): Uint8Array {
		const bytes = new Uint8Array(this.size);
		const view = new DataView(bytes.buffer);
		const given: { readonly [name: string]: unknown } = values;
		for (const { name, type, offset } of this.places) {
			const value = given[name];
			if (value !== undefined) put(bytes, view, offset, name, type, value);
		}
		return bytes;
	}

	/**
	 * Reads the structure. Fields past the end of `bytes` are 0: an older kernel's structure may be shorter.
	 */
	decode(bytes: Uint8Array): Decoded<F> {
		let whole = bytes;
		if (bytes.byteLength < this.size) {
			whole = new Uint8Array(this.size);
			whole.set(bytes);
		}
		const view = new DataView(whole.buffer, whole.byteOffset, whole.byteLength);
		const values: { [name: string]: unknown } = {};
		for (const { name, type, offset } of this.places) values[name] = take(whole, view, offset, type);
		return values as Decoded<F>; // the table gives each name the type that F declares
	}
}

function layOut(fields: Fields): { readonly places: readonly Place[]; readonly size: number } {
	let end = 0;
	let alignment = 1;
	const places: Place[] = [];
	for (const [name, type] of Object.entries(fields)) {
		alignment = Math.max(alignment, alignmentOf(type));
		const offset = roundUp(end, alignmentOf(type));
		places.push({ name, type, offset });
		end = offset + sizeOf(type);
	}
	return { places, size: roundUp(end, alignment) };
}

function put(
	bytes: Uint8Array,
	view: DataView,
	offset: number,
	name: string,
	type: FieldType,
	value: unknown,
): void {
	if (typeof type === "object") {
		const source = typeof value === "string" ? Buffer.from(value, "utf8") : value;
		if (!(source instanceof Uint8Array) || source.byteLength > sizeOf(type)) {
			throw new RangeError(`field ${name} takes at most ${sizeOf(type)} bytes`);
		}
		bytes.set(source, offset);
		return;
	}
	if (type === "u64" || type === "pointer") {
		const number = value instanceof Uint8Array ? addressOf(value) : BigInt((value ?? 0) as bigint | number);
		view.setBigUint64(offset, number, true);
		return;
	}
	if (type === "be64") {
		view.setBigUint64(offset, BigInt(value as bigint | number), false);
		return;
	}
	const number = Number(value);
	if (type === "u8") view.setUint8(offset, number);
	else if (type === "u16" || type === "be16") view.setUint16(offset, number, type === "u16");
	else if (type === "s32") view.setInt32(offset, number, true);
	else view.setUint32(offset, number, type === "u32");
}

function take(bytes: Uint8Array, view: DataView, offset: number, type: FieldType): unknown {
	if (typeof type === "object") {
		const field = bytes.slice(offset, offset + sizeOf(type));
		if ("bytes" in type) return field;
		const end = field.indexOf(0);
		return Buffer.from(end < 0 ? field : field.subarray(0, end)).toString("utf8");
	}
	if (type === "be64") return view.getBigUint64(offset, false);
	if (type === "u64" || type === "pointer") return view.getBigUint64(offset, true);
	if (type === "u8") return view.getUint8(offset);
	if (type === "u16" || type === "be16") return view.getUint16(offset, type === "u16");
	if (type === "s32") return view.getInt32(offset, true);
	return view.getUint32(offset, type === "u32");
}
