/**
 * What is known at one point of a program, along every path to it: which register holds which value, and how
 * far packet pointers are proven in bounds. The builder's counterpart of the verifier's state.
 */
import { buildError, type Register } from "../asm/instruction.ts";
import type { Placement, Value } from "./value.ts";

interface Occupant {
	readonly value: Value;
	/** Written to. A register that is only taken cannot be read. */
	readonly assigned: boolean;
}

/** r0 first: it is no argument of a call, so a temporary there is in nobody's way. */
const SCRATCH: readonly Register[] = [0, 5, 4, 3, 2, 1];
const KEPT: readonly Register[] = [6, 7, 8, 9];
const LOST_BY_CALL: readonly Register[] = [0, 1, 2, 3, 4, 5];
const ALL: readonly Register[] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

export class Flow {
	readonly #occupants = new Map<Register, Occupant>();
	readonly #proven = new Map<Value, number>();

	clone(): Flow {
		const copy = new Flow();
		for (const [register, occupant] of this.#occupants) copy.#occupants.set(register, occupant);
		for (const [value, bytes] of this.#proven) copy.#proven.set(value, bytes);
		return copy;
	}

	occupant(register: Register): Value | undefined {
		return this.#occupants.get(register)?.value;
	}

	find(value: Value): Register | undefined {
		return ALL.find((register) => this.#occupants.get(register)?.value === value);
	}

	isAssigned(value: Value): boolean {
		return [...this.#occupants.values()].some((occupant) => occupant.value === value && occupant.assigned);
	}

	/** Takes a register for `value`. Throws L3dsrError (BPF_BUILD) when none is free. */
	take(value: Value, placement: Placement): Register {
		const candidates = placement === "scratch" ? SCRATCH : placement === "kept" ? KEPT : [placement];
		const free = candidates.find((register) => !this.#occupants.has(register));
		if (free === undefined) {
			const held = candidates.map((register) => `r${register} ${this.occupant(register)?.name}`);
			throw buildError(
				`allocate ${value.name}: no ${placement === "scratch" || placement === "kept" ? placement : `r${placement}`} register is free (${held.join(", ")})`,
				"hold values with `using` in the smallest scope, or release() those that this path is done with",
			);
		}
		this.#occupants.set(free, { value, assigned: false });
		return free;
	}

	assign(value: Value): void {
		const register = this.find(value);
		if (register !== undefined) this.#occupants.set(register, { value, assigned: true });
	}

	/** Puts `value` into a register, whoever was there. */
	put(register: Register, value: Value): void {
		this.#lose(register, `its register was taken by ${value.name}`);
		this.#occupants.set(register, { value, assigned: true });
	}

	/** The register of `value` holds `successor` from here on, proven as far. */
	replace(value: Value, successor: Value): void {
		const register = this.find(value);
		const proven = this.#proven.get(value);
		if (register === undefined) return;
		this.#occupants.set(register, { value: successor, assigned: this.isAssigned(value) });
		if (proven !== undefined) this.#proven.set(successor, proven);
		this.#proven.delete(value);
		value.lostBecause = `it became ${successor.name} in another byte order`;
	}

	release(value: Value): void {
		const register = this.find(value);
		if (register !== undefined) this.#occupants.delete(register);
		this.#proven.delete(value);
	}

	proven(value: Value): number {
		return this.#proven.get(value) ?? 0;
	}

	prove(value: Value, bytes: number): void {
		if (bytes > 0) this.#proven.set(value, bytes);
		else this.#proven.delete(value);
	}

	/** After a call: argument and result registers are gone, and packet pointers if the packet may have moved. */
	afterCall(helper: string, movesPacket: boolean): void {
		for (const register of LOST_BY_CALL)
			this.#lose(register, `it was in r${register}, lost by the call of ${helper}`);
		if (!movesPacket) return;
		for (const register of KEPT) {
			const kind = this.occupant(register)?.kind;
			if (kind === "packet" || kind === "packet end" || kind === "packet meta") {
				this.#lose(register, `${helper} may move the packet: load it anew from the context`);
			}
		}
	}

	/** What holds both here and there: where two paths meet. */
	meet(other: Flow, place: string): void {
		for (const register of ALL) {
			const here = this.#occupants.get(register);
			if (here === undefined) continue;
			const there = other.#occupants.get(register);
			if (there?.value !== here.value) {
				this.#lose(register, `not every path to ${place} has it`);
			} else if (!there.assigned) {
				this.#occupants.set(register, there);
			}
		}
		for (const register of ALL) {
			const there = other.occupant(register);
			if (there !== undefined && this.find(there) === undefined)
				there.lostBecause = `not every path to ${place} has it`;
		}
		for (const [value, bytes] of this.#proven) this.prove(value, Math.min(bytes, other.proven(value)));
	}

	/** Frees the registers of values whose scope ended after this was noted. */
	releaseEnded(): void {
		for (const { value } of [...this.#occupants.values()]) if (value.hasEnded) this.release(value);
	}

	/** The first reason why `this` does not have all that `head` relies on, for a jump back to it. */
	lackOf(head: Flow): string | undefined {
		for (const [register, { value, assigned }] of head.#occupants) {
			const here = this.#occupants.get(register);
			if (here?.value !== value || (assigned && !here.assigned))
				return `${value.name} is not in r${register}`;
		}
		for (const [value, bytes] of head.#proven) {
			if (this.proven(value) < bytes)
				return `${value.name} is proven for ${this.proven(value)} bytes, not ${bytes}`;
		}
		return undefined;
	}

	#lose(register: Register, because: string): void {
		const value = this.occupant(register);
		if (value === undefined) return;
		this.#occupants.delete(register);
		this.#proven.delete(value);
		value.lostBecause = because;
	}
}
