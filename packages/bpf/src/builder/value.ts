/** A value in a register, by name. Which register, and whether it still is in one, the flow knows. */
import type { Register } from "../asm/instruction.ts";
import type { ByteOrder, ValueKind } from "./kind.ts";

/** `scratch`: r0-r5, lost by the next call. `kept`: r6-r9, for values that outlive calls. Or one register. */
export type Placement = "scratch" | "kept" | Register;

/** A second operand. Numbers are meant in host order, and converted where the first operand is not. */
export type Operand = Value | number | bigint;

export type ArithmeticOperator =
	| "="
	| "+="
	| "-="
	| "*="
	| "/="
	| "%="
	| "&="
	| "|="
	| "^="
	| "<<="
	| ">>="
	| "s>>=";

export interface ValueType {
	readonly name: string;
	/** Operations of a 32-bit value clear the upper half of its register. */
	readonly width: 32 | 64;
	/** Bytes that the number has: what a conversion of byte order swaps. */
	readonly bytes: number;
	readonly order: ByteOrder;
	readonly kind: ValueKind;
	/** It may be negative, as the results of helpers that fail with `-errno` are. */
	readonly isSigned?: boolean;
}

/** What a value asks of its builder. */
export interface ValueOwner {
	arithmetic(value: Value, operator: ArithmeticOperator, operand: Operand): void;
	negate(value: Value): void;
	/** The same register under a new type; the old value is gone. `swap` emits the change of byte order. */
	retype(value: Value, type: ValueType, swap: boolean): Value;
	release(value: Value): void;
}

/**
 * A named value. Operations change it in place and return it. Held with `using`, its register is free again at
 * the end of the scope; otherwise when a call or a join of branches loses it.
 */
export class Value implements ValueType, Disposable {
	readonly name: string;
	readonly width: 32 | 64;
	readonly bytes: number;
	readonly order: ByteOrder;
	readonly kind: ValueKind;
	readonly isSigned: boolean;
	/** The register that it is in, or was in last. */
	home: Register | undefined;
	/** Why no register holds it any longer, for the error of its next use. */
	lostBecause: string | undefined;
	/** Its `using` has ended: where paths meet again, nothing holds a register for it. */
	hasEnded = false;
	readonly #owner: ValueOwner;

	constructor(owner: ValueOwner, type: ValueType) {
		this.#owner = owner;
		this.name = type.name;
		this.width = type.width;
		this.bytes = type.bytes;
		this.order = type.order;
		this.kind = type.kind;
		this.isSigned = type.isSigned ?? false;
	}

	/** `value = operand` */
	set(operand: Operand): this {
		return this.#apply("=", operand);
	}
	/** `value += operand`. Of a packet pointer: a number keeps what is proven, a value forgets it. */
	add(operand: Operand): this {
		return this.#apply("+=", operand);
	}
	/** `value -= operand` */
	sub(operand: Operand): this {
		return this.#apply("-=", operand);
	}
	/** `value *= operand` */
	mul(operand: Operand): this {
		return this.#apply("*=", operand);
	}
	/** `value /= operand`, unsigned */
	div(operand: Operand): this {
		return this.#apply("/=", operand);
	}
	/** `value %= operand`, unsigned */
	mod(operand: Operand): this {
		return this.#apply("%=", operand);
	}
	/** `value &= operand` */
	and(operand: Operand): this {
		return this.#apply("&=", operand);
	}
	/** `value |= operand` */
	or(operand: Operand): this {
		return this.#apply("|=", operand);
	}
	/** `value ^= operand` */
	xor(operand: Operand): this {
		return this.#apply("^=", operand);
	}
	/** `value <<= operand` */
	lsh(operand: Operand): this {
		return this.#apply("<<=", operand);
	}
	/** `value >>= operand`, zeros shifted in */
	rsh(operand: Operand): this {
		return this.#apply(">>=", operand);
	}
	/** `value s>>= operand`, the sign shifted in */
	arsh(operand: Operand): this {
		return this.#apply("s>>=", operand);
	}
	/** `value = -value` */
	neg(): this {
		this.#owner.negate(this);
		return this;
	}

	/** The number in host order (a byte swap, if it came in network order). This value is gone. */
	toHost(): Value {
		return this.#owner.retype(this, { ...this.#type(), order: "host" }, this.order === "network");
	}
	/** The number in network order (a byte swap, if it is in host order). This value is gone. */
	toNetwork(): Value {
		return this.#owner.retype(this, { ...this.#type(), order: "network" }, this.order === "host");
	}
	/** The bits as they are: arithmetic takes them for a plain number, as sums in ones' complement want. */
	raw(width: 32 | 64 = this.width): Value {
		return this.#owner.retype(this, { ...this.#type(), order: "none", width, bytes: width / 8 }, false);
	}

	[Symbol.dispose](): void {
		this.hasEnded = true;
		this.#owner.release(this);
	}

	#apply(operator: ArithmeticOperator, operand: Operand): this {
		this.#owner.arithmetic(this, operator, operand);
		return this;
	}

	#type(): ValueType {
		const { name, width, bytes, order, kind } = this;
		return { name, width, bytes, order, kind };
	}
}
