/** Loads and stores of places, and the proof that the packet is long enough. */
import * as alu from "../asm/alu.ts";
import type { Instruction, Register } from "../asm/instruction.ts";
import { jgt } from "../asm/jump.ts";
import * as asm from "../asm/memory.ts";
import type { KernelField } from "../kernel-types.ts";
import { type Arithmetic, describe } from "./arithmetic.ts";
import { asImmediate, constantBits, numberOfBytes } from "./constant.ts";
import type { Emitter, Label } from "./emitter.ts";
import { type Operand, type Placement, Value, type ValueType } from "./value.ts";
import { ADDRESS, type Field, type Fields, isPlace, type Place, part, type View } from "./view.ts";

export interface LoadPlaceOptions {
	/** The value's name; default: the place's name. */
	readonly name?: string;
	readonly in?: Placement;
	/**
	 * Load into the register of this value instead of a new one; if a call has lost it, into its previous
	 * register.
	 */
	readonly into?: Value;
}

export class Memory {
	readonly #emitter: Emitter;
	readonly #arithmetic: Arithmetic;

	constructor(emitter: Emitter, arithmetic: Arithmetic) {
		this.#emitter = emitter;
		this.#arithmetic = arithmetic;
	}

	load(place: Place, options: LoadPlaceOptions): Value {
		const emitter = this.#emitter;
		const { into } = options;
		const name = into?.name ?? options.name ?? place.name;
		const bytes = this.#accessBytes(place);
		const base = this.#address(place);
		const type = typeOf(name, place.field);
		if (into !== undefined) {
			this.#arithmetic.checkOrders(into, type);
			if (type.width > into.width) throw emitter.error(`${place.name} has 64 bits, ${name} 32`);
		}
		if (into !== undefined) emitter.flow?.revive(into);
		const value = into ?? this.#arithmetic.allocate(type, options.in ?? "scratch");
		const note = name === place.name ? name : `${name} = ${place.name}`;
		emitter.emit(asm.load(bytes, emitter.write(value), base, place.offset), note);
		emitter.flow?.assign(value);
		emitter.flow?.prove(value, 0);
		return value;
	}

	/** A field of a kernel structure at the address `base`. */
	loadKernelField(base: Value, field: KernelField, name: string): Value {
		const width = field.bytes === 8 ? 64 : 32;
		const type: ValueType = { name, width, bytes: width / 8, order: "none", kind: "scalar" };
		const register = this.#emitter.read(base);
		const value = this.#arithmetic.allocate(type, "scratch");
		this.#emitter.emit(asm.load(field.bytes, this.#emitter.write(value), register, field.offset), name);
		this.#emitter.flow?.assign(value);
		if (field.shift > 0) value.rsh(field.shift);
		if (field.shift + field.bits < 8 * field.bytes) value.and((1n << BigInt(field.bits)) - 1n);
		return value;
	}

	store(place: Place, operand: Operand): void {
		const emitter = this.#emitter;
		const bytes = this.#accessBytes(place);
		const base = this.#address(place);
		const note = `${place.name} = ${describe(operand)}`;
		if (operand instanceof Value) {
			this.#arithmetic.checkOrders(typeOf(place.name, place.field), operand);
			emitter.emit(asm.store(bytes, base, place.offset, emitter.read(operand)), note);
			this.#noteWritten(place);
			return;
		}
		const pattern = constantBits({ bytes, order: place.field.order }, operand);
		if (pattern === undefined)
			throw emitter.error(`${operand} does not fit the ${bytes} bytes of ${place.name}`);
		this.#storeBits(place, bytes, base, pattern, note);
	}

	/** Stores constant bytes with as few instructions as possible. */
	storeBytes(place: Place, bytes: Uint8Array): void {
		this.#checkLength(place, bytes);
		const base = this.#address(place);
		const store = (offset: number, length: asm.AccessBytes) => {
			const piece = part(place, offset, length);
			const pattern = numberOfBytes(bytes.subarray(offset, offset + length));
			// Two stores of 32 bits are shorter than 64 bits through a register.
			if (length === 8 && asImmediate(pattern, 64) === undefined) {
				store(offset, 4);
				store(offset + 4, 4);
			} else this.#storeBits(piece, length, base, pattern, `${piece.name} = ${hex(bytes, offset, length)}`);
		};
		for (const [offset, length] of pieces(bytes.length, 8, [place])) store(offset, length);
	}

	/**
	 * Stores a whole structure of 4 or 8 bytes at once, so other CPUs see all of its fields change together.
	 */
	storeFields(target: View<Fields>, values: Readonly<Record<string, Operand>>): void {
		const { name, base, offset, bytes } = target[ADDRESS];
		if (bytes !== 4 && bytes !== 8)
			throw this.#emitter.error(`${name} has ${bytes} bytes; one store has 4 or 8`);
		let constant = 0n;
		let taken = 0n;
		const parts: { readonly value: Value; readonly place: Place; readonly shift: number }[] = [];
		for (const [key, operand] of Object.entries(values)) {
			const place = target[key];
			if (place === undefined) throw this.#emitter.error(`${name} has no field ${key}`);
			const shift = 8 * (place.offset - offset);
			const bits = fieldMask(place) << BigInt(shift);
			if ((taken & bits) !== 0n) throw this.#emitter.error(`${place.name} overlaps another field`);
			taken |= bits;
			if (operand instanceof Value) {
				this.#arithmetic.checkOrders(typeOf(place.name, place.field), operand);
				parts.push({ value: operand, place, shift });
				continue;
			}
			const pattern = constantBits({ bytes: place.field.bytes, order: place.field.order }, operand);
			if (pattern === undefined)
				throw this.#emitter.error(`${operand} does not fit the ${place.field.bytes} bytes of ${place.name}`);
			constant |= pattern << BigInt(shift);
		}
		const all: Place = {
			name,
			base,
			offset,
			field: { bytes, order: "none", kind: "scalar", offset: 0 },
		};
		const [first, ...rest] = parts;
		if (first === undefined) {
			this.store(all, constant);
			return;
		}
		using word = this.#fieldInPlace(first);
		for (const one of rest) {
			using more = this.#fieldInPlace(one);
			word.or(more);
		}
		if (constant !== 0n) word.or(constant);
		this.store(all, word);
	}

	#fieldInPlace({
		value,
		place,
		shift,
	}: {
		readonly value: Value;
		readonly place: Place;
		readonly shift: number;
	}): Value {
		const type = { name: place.name, width: 64, bytes: 8, order: "none", kind: "scalar" } as const;
		const bits = this.#arithmetic.allocate(type, "scratch").set(value);
		// A value is as wide as its register or, if it was loaded, as its field.
		if (value.bytes > place.field.bytes) bits.and(fieldMask(place));
		return shift === 0 ? bits : bits.lsh(shift);
	}

	/** `result = *place; if result == expected then *place = replacement`, atomically (Linux 5.12). */
	compareExchange(place: Place, expected: Operand, replacement: Value, name: string): Value {
		const bytes = this.#atomicBytes(place);
		const base = this.#address(place);
		const result = this.#arithmetic.allocate(typeOf(name, place.field), 0).set(expected);
		this.#arithmetic.checkOrders(typeOf(place.name, place.field), replacement);
		this.#emitter.emit(
			asm.atomicCompareExchange(bytes, base, place.offset, this.#emitter.read(replacement)),
			`${name} = ${place.name}; if that was ${describe(expected)}: ${place.name} = ${replacement.name}`,
		);
		return result;
	}

	/** `*to = *from`, for the bytes that both have, at most `largest` bytes at once. */
	copyBytes(to: Place, from: Place, largest: 4 | 8): void {
		const { bytes } = to.field;
		if (bytes !== from.field.bytes) {
			throw this.#emitter.error(
				`${to.name} has ${bytes} bytes, ${from.name} has ${from.field.bytes}: they cannot be copied`,
			);
		}
		for (const [offset, length] of pieces(bytes, largest, [to, from])) {
			using piece = this.load(part(from, offset, length), {});
			this.store(part(to, offset, length), piece);
		}
	}

	/** Pieces of at most 4 bytes with their expected values, for comparisons with immediates. */
	comparisons(
		place: Place,
		bytes: Uint8Array,
		mask: Uint8Array,
	): readonly { place: Place; mask: bigint; bits: bigint }[] {
		this.#checkLength(place, bytes);
		this.#checkLength(place, mask);
		return pieces(bytes.length, 4, [place])
			.map(([offset, length]) => ({
				place: part(place, offset, length),
				mask: numberOfBytes(mask.subarray(offset, offset + length)),
				bits: numberOfBytes(bytes.subarray(offset, offset + length)),
			}))
			.filter((piece) => piece.mask !== 0n);
	}

	/** `place += by` as load, add, store: only for memory that no other CPU writes. */
	increment(place: Place, by: Operand | Place): void {
		using sum = this.load(place, { name: "sum" });
		if (isPlace(by)) {
			using more = this.load(by, {});
			sum.add(more);
		} else sum.add(by);
		this.store(place, sum);
	}

	atomicAdd(place: Place, by: Value): void {
		const bytes = this.#atomicBytes(place);
		if (place.field.order === "network")
			throw this.#emitter.error(`${place.name} += : it is in network order`);
		const base = this.#address(place);
		this.#emitter.emit(
			asm.atomicAdd(bytes, base, place.offset, this.#emitter.read(by)),
			`${place.name} += ${by.name}, atomically`,
		);
	}

	prove(base: Value, bytes: number, end: Value | Place, otherwise: Label): void {
		const emitter = this.#emitter;
		if (emitter.flow === undefined || emitter.flow.proven(base) >= bytes) return;
		if (!(end instanceof Value)) {
			using loaded = this.load(end, {});
			this.#proveAgainst(base, bytes, loaded, otherwise);
		} else this.#proveAgainst(base, bytes, end, otherwise);
		// The value loaded for the comparison does not exist on the path to `otherwise`.
		emitter.flow?.prove(base, bytes);
	}

	#proveAgainst(base: Value, bytes: number, end: Value, otherwise: Label): void {
		const emitter = this.#emitter;
		const type = {
			name: `${base.name} + ${bytes}`,
			width: 64,
			bytes: 8,
			order: "host",
			kind: "pointer",
		} as const;
		{
			using limit = this.#arithmetic.allocate(type, "scratch");
			const register = emitter.write(limit);
			emitter.emit(alu.mov.reg(register, emitter.read(base)), `prove ${bytes} bytes from ${base.name}`);
			emitter.emit(alu.add.imm(register, bytes));
			emitter.emit(jgt.reg(register, emitter.read(end), otherwise.name));
		}
		emitter.arrive(otherwise);
	}

	#atomicBytes(place: Place): 4 | 8 {
		const bytes = this.#accessBytes(place);
		if (bytes === 4 || bytes === 8) return bytes;
		throw this.#emitter.error(`${place.name} has ${bytes} bytes; atomics have 4 or 8`);
	}

	#noteWritten({ base, offset, field }: Place): void {
		if (base.kind === "stack") this.#emitter.flow?.write(offset, field.bytes);
	}

	#storeBits(place: Place, bytes: asm.AccessBytes, base: Register, pattern: bigint, note: string): void {
		const emit = (instruction: Instruction) => this.#emitter.emit(instruction, note);
		const immediate = asImmediate(pattern, bytes === 8 ? 64 : 32);
		if (immediate !== undefined) emit(asm.storeImm(bytes, base, place.offset, immediate));
		else this.#arithmetic.withConstant(pattern, (src) => emit(asm.store(bytes, base, place.offset, src)));
		this.#noteWritten(place);
	}

	#accessBytes(place: Place): asm.AccessBytes {
		const { bytes } = place.field;
		if (bytes === 1 || bytes === 2 || bytes === 4 || bytes === 8) {
			// The verifier tracks the stack by aligned words, even if the processor allows unaligned access.
			if (place.base.kind !== "stack" || place.offset % bytes === 0) return bytes;
			throw this.#emitter.error(
				`${place.name} has ${bytes} bytes and is at ${place.offset} of the stack, which does not divide by them`,
				"put it behind padding, or access parts of it with part()",
			);
		}
		throw this.#emitter.error(
			`${place.name} has ${bytes} bytes, more than one register`,
			"access parts of it with part()",
		);
	}

	#checkLength(place: Place, bytes: Uint8Array): void {
		if (place.field.bytes === bytes.length) return;
		throw this.#emitter.error(
			`${bytes.length} bytes are given for the ${place.field.bytes} of ${place.name}`,
		);
	}

	/** The register of a place's base. For a packet, the whole place must be proven. */
	#address(place: Place): Register {
		const { flow } = this.#emitter;
		const register = this.#emitter.read(place.base);
		if (flow === undefined || place.base.kind !== "packet") return register;
		const proven = flow.proven(place.base);
		const end = place.offset + place.field.bytes;
		if (place.offset < 0 || end > proven) {
			throw this.#emitter.error(
				`${place.name} is bytes ${place.offset}-${end - 1} of ${place.base.name}, of which ${proven} are proven`,
				"prove() the length first",
			);
		}
		return register;
	}
}

function typeOf(name: string, field: Field): ValueType {
	const bytes = field.significant ?? field.bytes;
	const width = field.kind !== "scalar" || field.bytes === 8 ? 64 : 32;
	return { name, width, bytes, order: field.order, kind: field.kind };
}

/** The bits of a field, starting at bit 0. */
function fieldMask({ field }: Place): bigint {
	return (1n << BigInt(8 * field.bytes)) - 1n;
}

/**
 * Splits `length` bytes into accesses of at most `largest` bytes each, aligned for every stack place in
 * `places`.
 */
function pieces(
	length: number,
	largest: 4 | 8,
	places: readonly Place[],
): readonly (readonly [offset: number, length: asm.AccessBytes])[] {
	const result: [number, asm.AccessBytes][] = [];
	const aligned = places.filter(({ base }) => base.kind === "stack");
	const sizes: readonly asm.AccessBytes[] = [8, 4, 2, 1];
	for (let offset = 0; offset < length; ) {
		const size =
			sizes.find(
				(bytes) =>
					bytes <= largest &&
					bytes <= length - offset &&
					aligned.every((place) => (place.offset + offset) % bytes === 0),
			) ?? 1;
		result.push([offset, size]);
		offset += size;
	}
	return result;
}

function hex(bytes: Uint8Array, offset: number, length: number): string {
	return Buffer.from(bytes.subarray(offset, offset + length)).toString("hex");
}
