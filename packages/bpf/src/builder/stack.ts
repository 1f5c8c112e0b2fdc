/** The stack: structures of the program, and values that have no register for a while. */
import type { Register } from "../asm/instruction.ts";
import * as asm from "../asm/memory.ts";
import type { Emitter } from "./emitter.ts";
import { STACK_BYTES } from "./flow.ts";
import type { Placement, Value } from "./value.ts";
import { type Fields, type Structure, type View, view } from "./view.ts";

const SLOT_BYTES = 8;

export class Stack {
	readonly #emitter: Emitter;
	readonly #frame: Value;
	/**
	 * The offset of each parked value from the frame pointer: always the same slot, so that paths can meet.
	 */
	readonly #slots = new Map<Value, number>();
	#bytes = 0;

	constructor(emitter: Emitter, frame: Value) {
		this.#emitter = emitter;
		this.#frame = frame;
	}

	structure<F extends Fields>(name: string, structure: Structure<F>): View<F> {
		return view(this.#frame, structure, this.#take(name, structure.bytes), name);
	}

	/**
	 * `*slot = value`, and frees its register. Stores all 64 bits, as the verifier tracks only whole slots.
	 */
	park(value: Value): void {
		const emitter = this.#emitter;
		const { flow } = emitter;
		if (flow === undefined) return;
		const register = emitter.read(value);
		const offset = this.#slots.get(value) ?? this.#take(value.name, SLOT_BYTES);
		this.#slots.set(value, offset);
		emitter.emit(asm.store(8, this.#base(), offset, register), `park ${value.name}`);
		flow.write(offset, SLOT_BYTES);
		flow.park(value);
	}

	/** `value = *slot`, with its proven range, in its previous register if that is free. */
	restore(value: Value, placement?: Placement): void {
		const emitter = this.#emitter;
		const { flow } = emitter;
		if (flow === undefined) return;
		const proven = flow.parked(value);
		const offset = this.#slots.get(value);
		if (proven === undefined || offset === undefined)
			throw emitter.error(`${value.name} is not parked on every path here`);
		const to = flow.take(value, placement ?? placeFor(value, (register) => flow.isFree(register)));
		emitter.emit(asm.load(8, to, this.#base(), offset), `restore ${value.name}`);
		flow.assign(value);
		flow.prove(value, proven);
	}

	#base(): Register {
		return this.#emitter.read(this.#frame);
	}

	/** Reserves this many bytes, aligned to 8; returns their offset from the frame pointer. */
	#take(name: string, bytes: number): number {
		this.#bytes += Math.ceil(bytes / SLOT_BYTES) * SLOT_BYTES;
		if (this.#bytes > STACK_BYTES) {
			throw this.#emitter.error(`${name} does not fit the stack: ${this.#bytes} bytes of ${STACK_BYTES}`);
		}
		return -this.#bytes;
	}
}

function placeFor({ home }: Value, isFree: (register: Register) => boolean): Placement {
	if (home === undefined) return "scratch";
	if (isFree(home)) return home;
	return home >= 6 ? "kept" : "scratch";
}
