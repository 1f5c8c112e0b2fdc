/** A named value in a register. The flow knows which register it is in, if any. */
import type { Register } from "../asm/instruction.ts";
import type { ByteOrder, ValueKind } from "./kind.ts";

/**
 * `scratch`: r0-r5, lost by the next call. `kept`: r6-r9, for values that survive calls. Or a specific
 * register.
 */
export type Placement = "scratch" | "kept" | Register;

/**
 * A second operand. Numbers are in host order; they are converted if the first operand is in network order.
 */
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
	/** Size of the number in bytes: what a byte swap covers. */
	readonly bytes: number;
	readonly order: ByteOrder;
	readonly kind: ValueKind;
	/** It may be negative, as the result of a helper that fails with `-errno`. */
	readonly isSigned?: boolean;
}

/** What a value needs from its builder. */
export interface ValueOwner {
	arithmetic(value: Value, operator: ArithmeticOperator, operand: Operand): void;
	negate(value: Value): void;
	/** Gives the register a new type; the old value is gone. `swap` emits the change of byte order. */
	retype(value: Value, type: ValueType, swap: boolean): Value;
	release(value: Value): void;
}

/**
 * A named value. Operations change it in place and return it. With `using`, its register is free at the end
 * of the scope; otherwise when a call or a join of branches loses it.
 */
export class Value implements ValueType, Disposable {
	readonly name: string;
	readonly width: 32 | 64;
	readonly bytes: number;
	readonly order: ByteOrder;
	readonly kind: ValueKind;
	readonly isSigned: boolean;
	/** Its current or last register. */
	home: Register | undefined;
	/** Why it is in no register any more, for the error of its next use. */
	lostBecause: string | undefined;
	/** Its `using` has ended: it loses its register where paths meet. */
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
	/** `value += operand`. For a packet pointer: a number keeps the proven range, a value drops it. */
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
	/** `value >>= operand`, shifts zeros in */
	rsh(operand: Operand): this {
		return this.#apply(">>=", operand);
	}
	/** `value s>>= operand`, shifts the sign in */
	arsh(operand: Operand): this {
		return this.#apply("s>>=", operand);
	}
	/** `value = -value` */
	neg(): this {
		this.#owner.negate(this);
		return this;
	}

	/** The number in host order (a byte swap if it is in network order). This value is gone. */
	toHost(): Value {
		return this.#owner.retype(this, { ...this.#type(), order: "host" }, this.order === "network");
	}
	/** The number in network order (a byte swap if it is in host order). This value is gone. */
	toNetwork(): Value {
		return this.#owner.retype(this, { ...this.#type(), order: "network" }, this.order === "host");
	}
	/** The unchanged bits as a plain number, for example for sums in ones' complement. */
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
