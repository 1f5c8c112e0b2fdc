/** Operations on named values. */
import * as alu from "../asm/alu.ts";
import type { Register } from "../asm/instruction.ts";
import { loadImm64 } from "../asm/memory.ts";
import { asImmediate, constantBits } from "./constant.ts";
import type { Emitter } from "./emitter.ts";
import {
	type ArithmeticOperator,
	type Operand,
	type Placement,
	Value,
	type ValueOwner,
	type ValueType,
} from "./value.ts";

const OPERATIONS: Readonly<Record<ArithmeticOperator, alu.AluOperation>> = {
	"=": alu.mov,
	"+=": alu.add,
	"-=": alu.sub,
	"*=": alu.mul,
	"/=": alu.div,
	"%=": alu.mod,
	"&=": alu.and,
	"|=": alu.or,
	"^=": alu.xor,
	"<<=": alu.lsh,
	">>=": alu.rsh,
	"s>>=": alu.arsh,
};

/** Operators with the same result in either byte order. */
const BITWISE: ReadonlySet<string> = new Set(["=", "&=", "|=", "^="]);

/** Creates values and emits their arithmetic. */
export class Arithmetic implements ValueOwner {
	readonly #emitter: Emitter;

	constructor(emitter: Emitter) {
		this.#emitter = emitter;
	}

	/** A new value in a free register, not yet set. */
	allocate(type: ValueType, placement: Placement): Value {
		const value = new Value(this, type);
		this.#emitter.flow?.take(value, placement);
		return value;
	}

	/** A value that already is in `register`: a result, an argument. */
	adopt(type: ValueType, register: Register): Value {
		const value = new Value(this, type);
		this.#emitter.flow?.put(register, value);
		return value;
	}

	/** Runs `use` with a register that holds a 64-bit pattern, and frees it afterwards. */
	withConstant(pattern: bigint, use: (register: Register) => void): void {
		const type = {
			name: `0x${pattern.toString(16)}`,
			width: 64,
			bytes: 8,
			order: "none",
			kind: "scalar",
		} as const;
		using temporary = this.allocate(type, "scratch");
		this.#emitter.emit(loadImm64(this.#emitter.write(temporary), pattern));
		use(this.#emitter.write(temporary));
	}

	/** The bits of `number` in an operation with `value`. Throws BpfError (BUILD) if they do not fit. */
	bitsBeside(value: ValueType, number: number | bigint): bigint {
		// A host-order value is as wide as its register; only in network order does its own size count.
		const type = value.order === "network" ? value : { bytes: value.width / 8, order: "host" as const };
		const bits = constantBits(type, number);
		if (bits === undefined)
			throw this.#emitter.error(`${number} does not fit the ${type.bytes} bytes of ${value.name}`);
		return bits;
	}

	/** Throws BpfError (BUILD) if the two values have different byte orders. */
	checkOrders(left: ValueType, right: ValueType): void {
		if (left.order === "none" || right.order === "none" || left.order === right.order) return;
		throw this.#emitter.error(
			`${left.name} is in ${left.order} order and ${right.name} in ${right.order} order`,
			"convert one with toHost() or toNetwork(), or say raw()",
		);
	}

	arithmetic(value: Value, operator: ArithmeticOperator, operand: Operand): void {
		const emitter = this.#emitter;
		if (emitter.flow === undefined) return;
		if (value.order === "network" && !BITWISE.has(operator)) {
			throw emitter.error(
				`${value.name} ${operator} ${describe(operand)}: ${value.name} is in network order`,
				"toHost() before arithmetic, or raw() for sums in ones' complement",
			);
		}
		const dst = operator === "=" ? emitter.write(value) : emitter.read(value);
		const note = `${value.name} ${operator} ${describe(operand)}`;
		if (operand instanceof Value) {
			// Writes through a copy of the frame pointer cannot be tracked.
			if (operand.kind === "stack") emitter.flow.assumeWritten();
			this.#withValue(value, dst, operator, operand, note);
		} else this.#withNumber(value, dst, operator, operand, note);
		if (value.kind === "packet") this.#moveProof(value, operator, operand);
		emitter.flow.assign(value);
	}

	#withValue(value: Value, dst: Register, operator: ArithmeticOperator, operand: Value, note: string): void {
		this.checkOrders(value, operand);
		const operation = OPERATIONS[operator];
		const src = this.#emitter.read(operand);
		this.#emitter.emit(value.width === 64 ? operation.reg(dst, src) : operation.reg32(dst, src), note);
	}

	#withNumber(
		value: Value,
		dst: Register,
		operator: ArithmeticOperator,
		number: number | bigint,
		note: string,
	): void {
		const operation = OPERATIONS[operator];
		const pattern = this.bitsBeside(value, number);
		const immediate = asImmediate(pattern, value.width);
		if (operator === "&=" && value.width === 64 && pattern === 0xffff_ffffn) {
			this.#emitter.emit(alu.mov.reg32(dst, dst), note);
		} else if (immediate !== undefined) {
			this.#emitter.emit(
				value.width === 64 ? operation.imm(dst, immediate) : operation.imm32(dst, immediate),
				note,
			);
		} else if (operator === "=") {
			const fits32 = pattern <= 0xffff_ffffn;
			this.#emitter.emit(
				fits32 ? alu.mov.imm32(dst, Number(BigInt.asIntN(32, pattern))) : loadImm64(dst, pattern),
				note,
			);
		} else {
			this.withConstant(pattern, (src) => this.#emitter.emit(operation.reg(dst, src), note));
		}
	}

	/** The verifier's rule: a constant moves the proven range, any other operand drops it. */
	#moveProof(value: Value, operator: ArithmeticOperator, operand: Operand): void {
		const { flow } = this.#emitter;
		if (flow === undefined) return;
		if (operator === "=" && operand instanceof Value) flow.prove(value, flow.proven(operand));
		else if (operator === "+=" && typeof operand === "number")
			flow.prove(value, flow.proven(value) - operand);
		else flow.prove(value, 0);
	}

	negate(value: Value): void {
		const register = this.#emitter.read(value);
		this.#emitter.emit(
			value.width === 64 ? alu.neg(register) : alu.neg32(register),
			`${value.name} = -${value.name}`,
		);
	}

	/** `value ^= unknown; value ^= unknown`: no change, but the verifier does not see that. */
	forget(value: Value, unknown: Value): void {
		const emitter = this.#emitter;
		const [dst, src] = [emitter.read(value), emitter.read(unknown)];
		for (const note of [`forget ${value.name}`, undefined])
			emitter.emit(value.width === 64 ? alu.xor.reg(dst, src) : alu.xor.reg32(dst, src), note);
	}

	retype(value: Value, type: ValueType, swap: boolean): Value {
		const emitter = this.#emitter;
		const successor = new Value(this, type);
		const register = emitter.read(value);
		// Later code relies on the upper half of a 32-bit value being 0.
		if (type.width < value.width) emitter.emit(alu.mov.reg32(register, register), `${type.name}, lower half`);
		if (swap) {
			const { bytes } = value;
			if (bytes !== 2 && bytes !== 4 && bytes !== 8)
				throw emitter.error(`${value.name} has ${bytes} bytes, no byte order`);
			const bits = bytes === 2 ? 16 : bytes === 4 ? 32 : 64;
			emitter.emit(alu.toBigEndian(bits, register), `${type.name} to ${type.order} order`);
		}
		emitter.flow?.replace(value, successor);
		return successor;
	}

	release(value: Value): void {
		this.#emitter.flow?.release(value);
	}
}

/** An operand as text for notes and errors. */
export function describe(operand: Operand): string {
	if (operand instanceof Value) return operand.name;
	if (operand >= -9 && operand <= 255) return `${operand}`;
	return operand < 0 ? `-0x${(-operand).toString(16)}` : `0x${operand.toString(16)}`;
}
