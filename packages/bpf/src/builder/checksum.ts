/**
 * Sums in ones' complement for Internet checksums (RFC 1071).
 *
 * The byte order of such a sum does not matter if it is the same everywhere (section 2B): the words are added
 * as they are in memory.
 */
import * as alu from "../asm/alu.ts";
import type { Arithmetic } from "./arithmetic.ts";
import type { Emitter } from "./emitter.ts";
import type { Memory } from "./memory.ts";
import { Value, type ValueType } from "./value.ts";
import type { Place } from "./view.ts";

const U16 = 0xffffn;
const U32 = 0xffff_ffffn;

export class Checksum {
	readonly #emitter: Emitter;
	readonly #arithmetic: Arithmetic;
	readonly #memory: Memory;

	constructor(emitter: Emitter, arithmetic: Arithmetic, memory: Memory) {
		this.#emitter = emitter;
		this.#arithmetic = arithmetic;
		this.#memory = memory;
	}

	/** Replaces `sum` (64 bits, at most `most`) by a value of 32 bits. */
	fold(sum: Value, most: bigint): Value {
		const type: ValueType = { name: sum.name, width: 32, bytes: 4, order: "none", kind: "scalar" };
		let bound = most;
		for (; afterFold(bound, 32n) > U32; bound = afterFold(bound, 32n)) this.#fold(sum, 32);
		const register = this.#emitter.read(sum);
		{
			// The last carry: a 32-bit addition also cuts off the upper half.
			using carry = this.#carry(sum, 32);
			this.#emitter.emit(alu.add.reg32(register, this.#emitter.read(carry)), `${sum.name} += carry`);
		}
		const successor = new Value(this.#arithmetic, type);
		this.#emitter.flow?.replace(sum, successor);
		return successor;
	}

	/** `*field += sum`; `sum` (at most `most`) is unchanged afterwards. */
	add(field: Place, sum: Value, most: bigint): void {
		if (field.field.bytes !== 2)
			throw this.#emitter.error(`${field.name} has ${field.field.bytes} bytes; Internet checksums have 2`);
		using total = this.#memory.load(field, { name: "checksum" }).raw(64);
		total.add(sum);
		let bound = most + U16;
		for (; afterFold(bound, 16n) > U16; bound = afterFold(bound, 16n)) this.#fold(total, 16);
		using carry = this.#carry(total, 16);
		total.add(carry);
		this.#memory.store({ ...field, field: { ...field.field, order: "none" } }, total);
	}

	/** `sum = (sum >> bits) + (sum & (2^bits - 1))` */
	#fold(sum: Value, bits: 16 | 32): void {
		using carry = this.#carry(sum, bits);
		sum.and(bits === 16 ? U16 : U32);
		sum.add(carry);
	}

	/** `carry = sum >> bits` */
	#carry(sum: Value, bits: 16 | 32): Value {
		const { width, bytes, order, kind } = sum;
		const carry = this.#arithmetic.allocate({ name: "carry", width, bytes, order, kind }, "scratch");
		return carry.set(sum).rsh(bits);
	}
}

/** The largest result of folding a sum of at most `most` at `bits`. */
function afterFold(most: bigint, bits: bigint): bigint {
	const mask = (1n << bits) - 1n;
	const carry = most >> bits;
	if (carry === 0n) return most;
	const full = carry - 1n + mask;
	const last = carry + (most & mask);
	return full > last ? full : last;
}
