/** Loads and stores of places, and the proof that a packet has the bytes. */
import * as alu from "../asm/alu.ts";
import type { Instruction, Register } from "../asm/instruction.ts";
import { jgt } from "../asm/jump.ts";
import * as asm from "../asm/memory.ts";
import { type Arithmetic, describe } from "./arithmetic.ts";
import { asImmediate, constantBits, numberOfBytes } from "./constant.ts";
import type { Emitter, Label } from "./emitter.ts";
import { type Field, isPlace, type Place, part } from "./layout.ts";
import { type Operand, type Placement, Value, type ValueType } from "./value.ts";

export interface LoadPlaceOptions {
	/** The value's name; that of the place if absent. */
	readonly name?: string;
	readonly in?: Placement;
	/** Loads into the register of this value instead of a new one; if a call has lost it, into that which it had. */
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

	store(place: Place, operand: Operand): void {
		const emitter = this.#emitter;
		const bytes = this.#accessBytes(place);
		const base = this.#address(place);
		const note = `${place.name} = ${describe(operand)}`;
		if (operand instanceof Value) {
			this.#arithmetic.checkOrders(typeOf(place.name, place.field), operand);
			emitter.emit(asm.store(bytes, base, place.offset, emitter.read(operand)), note);
			return;
		}
		const pattern = constantBits({ bytes, order: place.field.order }, operand);
		if (pattern === undefined)
			throw emitter.error(`${operand} does not fit the ${bytes} bytes of ${place.name}`);
		this.#storeBits(place, bytes, base, pattern, note);
	}

	/** Constant bytes, in as few stores as there are. */
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
		for (const [offset, length] of pieces(bytes.length, 8)) store(offset, length);
	}

	/** `*to = *from`, as many bytes as both have, at most `largest` at once. */
	copyBytes(to: Place, from: Place, largest: 4 | 8): void {
		const { bytes } = to.field;
		if (bytes !== from.field.bytes) {
			throw this.#emitter.error(
				`${to.name} has ${bytes} bytes, ${from.name} has ${from.field.bytes}: they cannot be copied`,
			);
		}
		for (const [offset, length] of pieces(bytes, largest)) {
			using piece = this.load(part(from, offset, length), {});
			this.store(part(to, offset, length), piece);
		}
	}

	/** Pieces of at most 4 bytes with what each must be, for comparisons with immediates. */
	comparisons(
		place: Place,
		bytes: Uint8Array,
		mask: Uint8Array,
	): readonly { place: Place; mask: bigint; bits: bigint }[] {
		this.#checkLength(place, bytes);
		this.#checkLength(place, mask);
		return pieces(bytes.length, 4)
			.map(([offset, length]) => ({
				place: part(place, offset, length),
				mask: numberOfBytes(mask.subarray(offset, offset + length)),
				bits: numberOfBytes(bytes.subarray(offset, offset + length)),
			}))
			.filter((piece) => piece.mask !== 0n);
	}

	/** `place += by` as load, add, store: for memory that no other CPU writes. */
	increment(place: Place, by: Operand | Place): void {
		using sum = this.load(place, { name: "sum" });
		if (isPlace(by)) {
			using more = this.load(by, {});
			sum.add(more);
		} else sum.add(by);
		this.store(place, sum);
	}

	atomicAdd(place: Place, by: Value): void {
		const bytes = this.#accessBytes(place);
		if (bytes !== 4 && bytes !== 8)
			throw this.#emitter.error(`${place.name} has ${bytes} bytes; atomics have 4 or 8`);
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
		// What was loaded for the comparison is not there for those who go on at `otherwise`.
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

	#storeBits(place: Place, bytes: asm.AccessBytes, base: Register, pattern: bigint, note: string): void {
		const emit = (instruction: Instruction) => this.#emitter.emit(instruction, note);
		const immediate = asImmediate(pattern, bytes === 8 ? 64 : 32);
		if (immediate !== undefined) emit(asm.storeImm(bytes, base, place.offset, immediate));
		else this.#arithmetic.withConstant(pattern, (src) => emit(asm.store(bytes, base, place.offset, src)));
	}

	#accessBytes(place: Place): asm.AccessBytes {
		const { bytes } = place.field;
		if (bytes === 1 || bytes === 2 || bytes === 4 || bytes === 8) return bytes;
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

	/** The register of a place's base; a packet must be proven to reach to the end of the place. */
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

/** `length` bytes as accesses of at most `largest` bytes each. */
function pieces(
	length: number,
	largest: 4 | 8,
): readonly (readonly [offset: number, length: asm.AccessBytes])[] {
	const result: [number, asm.AccessBytes][] = [];
	const sizes: readonly asm.AccessBytes[] = [8, 4, 2, 1];
	for (let offset = 0; offset < length; ) {
		const size = sizes.find((bytes) => bytes <= largest && bytes <= length - offset) ?? 1;
		result.push([offset, size]);
		offset += size;
	}
	return result;
}

function hex(bytes: Uint8Array, offset: number, length: number): string {
	return Buffer.from(bytes.subarray(offset, offset + length)).toString("hex");
}
