/** Conditions, if/else, and switch on a number. */
import type { Register } from "../asm/instruction.ts";
import * as asm from "../asm/jump.ts";
import { type Arithmetic, describe } from "./arithmetic.ts";
import { asImmediate } from "./constant.ts";
import type { Emitter, Label } from "./emitter.ts";
import type { Memory } from "./memory.ts";
import { type Operand, Value } from "./value.ts";
import type { Place } from "./view.ts";

/** As in C, unsigned; with `s`, signed; `&`: the operands share a bit. */
export type Comparison = "==" | "!=" | ">" | ">=" | "<" | "<=" | "s>" | "s>=" | "s<" | "s<=" | "&";

const CONDITIONS: Readonly<Record<Comparison, asm.JumpCondition>> = {
	"==": asm.jeq,
	"!=": asm.jne,
	">": asm.jgt,
	">=": asm.jge,
	"<": asm.jlt,
	"<=": asm.jle,
	"s>": asm.jsgt,
	"s>=": asm.jsge,
	"s<": asm.jslt,
	"s<=": asm.jsle,
	"&": asm.jset,
};

const OPPOSITE: Readonly<Record<Exclude<Comparison, "&">, Comparison>> = {
	"==": "!=",
	"!=": "==",
	">": "<=",
	">=": "<",
	"<": ">=",
	"<=": ">",
	"s>": "s<=",
	"s>=": "s<",
	"s<": "s>=",
	"s<=": "s>",
};

const UNSIGNED: ReadonlySet<Comparison> = new Set([">", ">=", "<", "<="]);
const ORDERLESS: ReadonlySet<Comparison> = new Set(["==", "!=", "&"]);

/** One case of a switch: its numbers and its body. */
export interface Case {
	readonly values: readonly number[];
	/** The name of its label; default `case N`. */
	readonly name?: string;
	readonly body: () => void;
}

/** Up to this many numbers, comparing one after the other takes no more steps than a binary search. */
const LINEAR = 3;

export class Branch {
	readonly #emitter: Emitter;
	readonly #arithmetic: Arithmetic;
	readonly #memory: Memory;

	constructor(emitter: Emitter, arithmetic: Arithmetic, memory: Memory) {
		this.#emitter = emitter;
		this.#arithmetic = arithmetic;
		this.#memory = memory;
	}

	/** `if left comparison right goto label` */
	gotoIf(left: Value | Place, comparison: Comparison, right: Operand, label: Label): void {
		if (this.#emitter.flow === undefined) return;
		if (left instanceof Value) {
			this.#compare(left, comparison, right, label);
		} else {
			using value = this.#memory.load(left, {});
			this.#compare(value, comparison, right, label);
		}
		this.#emitter.arrive(label);
	}

	/** `if not (left comparison right) goto label` */
	gotoUnless(left: Value | Place, comparison: Comparison, right: Operand, label: Label): void {
		if (comparison !== "&") {
			this.gotoIf(left, OPPOSITE[comparison], right, label);
			return;
		}
		const past = this.#emitter.label("any");
		this.gotoIf(left, "&", right, past);
		this.#emitter.goto(label);
		this.#emitter.place(past);
	}

	/** `if (bytes of place & mask) != bytes goto label` */
	gotoUnlessBytes(place: Place, bytes: Uint8Array, mask: Uint8Array, label: Label): void {
		for (const piece of this.#memory.comparisons(place, bytes, mask)) {
			if (this.#emitter.flow === undefined) return;
			const size = piece.place.field.bytes;
			{
				using value = this.#memory.load(piece.place, {});
				if (piece.mask !== (1n << BigInt(8 * size)) - 1n) value.and(piece.mask);
				this.#compare(value, "!=", piece.bits & piece.mask, label);
			}
			this.#emitter.arrive(label);
		}
	}

	/** `if (set >> value) & 1 goto label`; `value` must be less than 64 */
	gotoIfMember(value: Value, set: bigint, label: Label): void {
		const members = membersOf(set);
		const [only] = members;
		if (only !== undefined && members.length === 1) this.gotoIf(value, "==", only, label);
		else this.#gotoIfBit(value, set, `one of ${describeMembers(members)}`, label);
	}

	/** `if !((set >> value) & 1) goto label`; `value` must be less than 64 */
	gotoUnlessMember(value: Value, set: bigint, label: Label): void {
		const members = membersOf(set);
		const [only] = members;
		if (only !== undefined && members.length === 1) this.gotoIf(value, "!=", only, label);
		else this.#gotoIfBit(value, ALL_64 ^ set, `none of ${describeMembers(members)}`, label);
	}

	#gotoIfBit(value: Value, set: bigint, name: string, label: Label): void {
		if (set === 0n || this.#emitter.flow === undefined) return;
		if (set === ALL_64) {
			this.#emitter.goto(label);
			return;
		}
		const type = { name, width: 64, bytes: 8, order: "none", kind: "scalar" } as const;
		using bits = this.#arithmetic.allocate(type, "scratch");
		bits.set(set).rsh(value);
		this.gotoIf(bits, "&", 1, label);
	}

	/** `if (left comparison right) { body }`, with the body at the end of the program */
	unlikely(left: Value | Place, comparison: Comparison, right: Operand, body: () => void): void {
		const emitter = this.#emitter;
		if (emitter.flow === undefined) return;
		const aside = emitter.label("aside");
		const back = emitter.label("back");
		this.gotoIf(left, comparison, right, aside);
		this.aside(aside, back, body);
	}

	/** Places `back` here, and `label: { body } goto back` at the end of the program. */
	aside(label: Label, back: Label, body: () => void): void {
		const emitter = this.#emitter;
		emitter.place(back, "all values");
		emitter.aside(() => {
			emitter.place(label, "all values");
			emitter.holdEnded();
			emitter.scoped(body);
			if (emitter.flow !== undefined) emitter.goto(back);
		});
	}

	/** `if (left comparison right) then else otherwise` */
	ifElse(
		left: Value | Place,
		comparison: Comparison,
		right: Operand,
		then: () => void,
		otherwise: () => void,
	): void {
		const emitter = this.#emitter;
		const end = emitter.label("end");
		const second = emitter.label(comparison === "&" ? "then" : "else");
		// No jump tests for "no bit in common", so the branches are swapped.
		if (comparison === "&") this.gotoIf(left, comparison, right, second);
		else this.gotoIf(left, OPPOSITE[comparison], right, second);
		this.#block(comparison === "&" ? otherwise : then, end);
		emitter.place(second);
		emitter.scoped(comparison === "&" ? then : otherwise);
		emitter.place(end);
	}

	/**
	 * Jumps to the case with the number of `subject` by binary search; dozens of numbers take several
	 * comparisons.
	 */
	dispatch(subject: Value | Place, cases: readonly Case[], otherwise: () => void): void {
		const emitter = this.#emitter;
		const labels = cases.map((one) => emitter.label(one.name ?? `case ${one.values.join(",")}`));
		const fallback = emitter.label("default");
		const end = emitter.label("end");
		if (subject instanceof Value) {
			this.#search(subject, this.#entries(subject, cases, labels), fallback);
		} else {
			// Loaded into a temporary register, which is free again in the branches.
			const value = this.#memory.load(subject, {});
			this.#search(value, this.#entries(value, cases, labels), fallback);
			for (const label of [...labels, fallback]) label.incoming?.release(value);
		}
		emitter.place(fallback);
		this.#block(otherwise, end);
		cases.forEach((one, index) => {
			const label = labels[index];
			if (label === undefined) return;
			emitter.place(label);
			this.#block(one.body, end);
		});
		emitter.place(end);
	}

	/**
	 * Jumps by binary search to the label of the number in `subject`, which must be one of those in `labels`.
	 */
	select(subject: Value, labels: ReadonlyMap<number, Label>): void {
		const runs: Run[] = [];
		for (const [first, label] of [...labels].sort(([a], [b]) => a - b)) {
			if (runs.at(-1)?.label !== label) runs.push({ first, label });
		}
		this.#halve(subject, runs);
	}

	#halve(subject: Value, runs: readonly Run[]): void {
		const emitter = this.#emitter;
		const half = runs.length >> 1;
		const middle = runs[half];
		if (middle === undefined) return;
		if (half === 0) {
			emitter.goto(middle.label);
			return;
		}
		const upper = emitter.label(`${subject.name} from ${middle.first}`);
		this.gotoIf(subject, ">=", middle.first, upper);
		this.#halve(subject, runs.slice(0, half));
		emitter.place(upper);
		this.#halve(subject, runs.slice(half));
	}

	/** `{ body } goto end` */
	#block(body: () => void, end: Label): void {
		this.#emitter.scoped(() => {
			body();
			if (this.#emitter.flow !== undefined) this.#emitter.goto(end);
		});
	}

	/** Numbers with their labels, in the order in which registers compare, in either byte order. */
	#entries(subject: Value, cases: readonly Case[], labels: readonly Label[]): readonly Entry[] {
		const entries = cases.flatMap(({ values }, index) =>
			values.map((value) => ({
				value,
				bits: this.#arithmetic.bitsBeside(subject, value),
				label: labels[index],
			})),
		);
		const seen = new Map<bigint, number>();
		for (const { bits, value } of entries) {
			if (seen.has(bits)) throw this.#emitter.error(`dispatch on ${subject.name}: two cases have ${value}`);
			seen.set(bits, value);
		}
		return entries
			.flatMap(({ label, ...entry }) => (label === undefined ? [] : [{ ...entry, label }]))
			.sort((a, b) => (a.bits < b.bits ? -1 : 1));
	}

	#search(subject: Value, entries: readonly Entry[], fallback: Label): void {
		const emitter = this.#emitter;
		if (entries.length <= LINEAR) {
			for (const { bits, value, label } of entries) {
				this.#jump(subject, "==", bits, label, `${subject.name} == ${describe(value)}`);
				emitter.arrive(label);
			}
			if (emitter.flow !== undefined) emitter.goto(fallback);
			return;
		}
		const middle = entries.length >> 1;
		const pivot = entries[middle];
		if (pivot === undefined) return;
		const upper = emitter.label("upper");
		this.#jump(subject, ">=", pivot.bits, upper, `${subject.name}, upper half from ${describe(pivot.value)}`);
		emitter.arrive(upper);
		this.#search(subject, entries.slice(0, middle), fallback);
		emitter.place(upper);
		this.#search(subject, entries.slice(middle), fallback);
	}

	#compare(left: Value, comparison: Comparison, right: Operand, label: Label): void {
		const emitter = this.#emitter;
		const note = `${left.name} ${comparison} ${describe(right)}`;
		if (left.isSigned && UNSIGNED.has(comparison)) {
			throw emitter.error(
				`compare ${note}: ${left.name} may be negative`,
				`compare as signed numbers: s${comparison}`,
			);
		}
		if (left.order === "network" && !ORDERLESS.has(comparison)) {
			throw emitter.error(
				`compare ${note}: ${left.name} is in network order`,
				"toHost() before comparing which is larger",
			);
		}
		if (!(right instanceof Value)) {
			this.#jump(left, comparison, this.#arithmetic.bitsBeside(left, right), label, note);
			return;
		}
		this.#arithmetic.checkOrders(left, right);
		const width = right.width === 64 ? 64 : left.width;
		this.#jumpOnRegister(left, width, comparison, emitter.read(right), label, note);
	}

	#jump(left: Value, comparison: Comparison, bits: bigint, label: Label, note: string): void {
		const condition = CONDITIONS[comparison];
		const immediate = asImmediate(bits, left.width);
		if (immediate === undefined) {
			this.#arithmetic.withConstant(bits, (src) =>
				this.#jumpOnRegister(left, 64, comparison, src, label, note),
			);
			return;
		}
		const dst = this.#emitter.read(left);
		const build = left.width === 64 ? condition.imm : condition.imm32;
		this.#emitter.emit(build(dst, immediate, label.name), note);
	}

	/** The upper half of a 32-bit value is 0, so it can be compared at the width of a 64-bit one. */
	#jumpOnRegister(
		left: Value,
		width: 32 | 64,
		comparison: Comparison,
		src: Register,
		label: Label,
		note: string,
	): void {
		const condition = CONDITIONS[comparison];
		const build = width === 64 ? condition.reg : condition.reg32;
		this.#emitter.emit(build(this.#emitter.read(left), src, label.name), note);
	}
}

/** The numbers from `first` to the next run lead to `label`. */
interface Run {
	readonly first: number;
	readonly label: Label;
}

const ALL_64 = (1n << 64n) - 1n;

function membersOf(set: bigint): readonly number[] {
	return Array.from({ length: 64 }, (_, n) => n).filter((n) => (set >> BigInt(n)) & 1n);
}

function describeMembers(members: readonly number[]): string {
	const [first, second] = members;
	return members.length > 4 ? `${first}, ${second} … (${members.length})` : members.join(", ");
}

interface Entry {
	readonly value: number;
	readonly bits: bigint;
	readonly label: Label;
}
