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

/** r0 first: it is not an argument of a call, so a temporary there is in nobody's way. */
const SCRATCH: readonly Register[] = [0, 5, 4, 3, 2, 1];
const KEPT: readonly Register[] = [6, 7, 8, 9];
const LOST_BY_CALL: readonly Register[] = [0, 1, 2, 3, 4, 5];
const ALL: readonly Register[] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/** The stack of a program, uapi/linux/filter.h: MAX_BPF_STACK. */
export const STACK_BYTES = 512;
const WHOLE_STACK = (1n << BigInt(STACK_BYTES)) - 1n;

export class Flow {
	/** By register. */
	#occupants: (Occupant | undefined)[] = [];
	#proven = new Map<Value, number>();
	/** Values whose stack slot holds them, with what is proven of each. */
	#parked = new Map<Value, number>();
	/** A bit for each byte of the stack that every path here has written, the lowest address first. */
	#written = 0n;

	clone(): Flow {
		const copy = new Flow();
		copy.#occupants = this.#occupants.slice();
		if (this.#proven.size > 0) copy.#proven = new Map(this.#proven);
		if (this.#parked.size > 0) copy.#parked = new Map(this.#parked);
		copy.#written = this.#written;
		return copy;
	}

	occupant(register: Register): Value | undefined {
		return this.#occupants[register]?.value;
	}

	find(value: Value): Register | undefined {
		const { home } = value;
		// Where it is or was last, most likely.
		if (home !== undefined && this.#occupants[home]?.value === value) return home;
		return ALL.find((register) => this.#occupants[register]?.value === value);
	}

	isAssigned(value: Value): boolean {
		const register = this.find(value);
		return register !== undefined && this.#occupants[register]?.assigned === true;
	}

	/** Takes a register for `value`. Throws BpfError (BUILD) when none is free. */
	take(value: Value, placement: Placement): Register {
		const candidates = placement === "scratch" ? SCRATCH : placement === "kept" ? KEPT : [placement];
		const free = candidates.find((register) => this.#occupants[register] === undefined);
		if (free === undefined) {
			const held = candidates.map((register) => `r${register} ${this.occupant(register)?.name}`);
			throw buildError(
				`allocate ${value.name}: no ${placement === "scratch" || placement === "kept" ? placement : `r${placement}`} register is free (${held.join(", ")})`,
				"hold values with `using` in the smallest scope, or release() those that this path is done with",
			);
		}
		this.#occupants[free] = { value, assigned: false };
		this.#parked.delete(value);
		value.home = free;
		return free;
	}

	/** The value is in its stack slot, and its register free. */
	park(value: Value): void {
		const proven = this.proven(value);
		this.release(value);
		this.#parked.set(value, proven);
		value.lostBecause = "it is parked on the stack: restore() it";
	}

	/** What was proven of a value when it was parked; undefined when it is not parked here. */
	parked(value: Value): number | undefined {
		return this.#parked.get(value);
	}

	/** Whether the register is taken. */
	isFree(register: Register): boolean {
		return this.#occupants[register] === undefined;
	}

	/** Notes that these bytes of the stack, `offset` below 0, have been written. */
	write(offset: number, bytes: number): void {
		this.#written |= stackBits(offset, bytes);
	}

	/** Nothing is known of the stack any more: it counts as written. */
	assumeWritten(): void {
		this.#written = WHOLE_STACK;
	}

	/** Whether every path here has written all of these bytes of the stack. */
	isWritten(offset: number, bytes: number): boolean {
		const bits = stackBits(offset, bytes);
		return (this.#written & bits) === bits;
	}

	assign(value: Value): void {
		const register = this.find(value);
		if (register !== undefined && !this.isAssigned(value))
			this.#occupants[register] = { value, assigned: true };
	}

	/** Puts `value` into a register, whoever was there. */
	put(register: Register, value: Value): void {
		this.#lose(register, `its register was taken by ${value.name}`);
		this.#occupants[register] = { value, assigned: true };
		value.home = register;
	}

	/** The register of `value` holds `successor` from here on, proven as far. */
	replace(value: Value, successor: Value): void {
		const register = this.find(value);
		const proven = this.#proven.get(value);
		if (register === undefined) return;
		this.#occupants[register] = { value: successor, assigned: this.isAssigned(value) };
		successor.home = register;
		if (proven !== undefined) this.#proven.set(successor, proven);
		this.#proven.delete(value);
		value.lostBecause = `it became ${successor.name} in another byte order`;
	}

	release(value: Value): void {
		const register = this.find(value);
		if (register !== undefined) this.#occupants[register] = undefined;
		this.#proven.delete(value);
		this.#parked.delete(value);
	}

	proven(value: Value): number {
		return this.#proven.get(value) ?? 0;
	}

	prove(value: Value, bytes: number): void {
		if (bytes > 0) this.#proven.set(value, bytes);
		else this.#proven.delete(value);
	}

	/** Takes a value that was lost back into the register that it had, not yet set. */
	revive(value: Value): void {
		if (value.home !== undefined && this.find(value) === undefined) this.take(value, value.home);
	}

	/** Forgets what is in r0-r5. */
	loseScratch(because: string): void {
		for (const register of LOST_BY_CALL) this.#lose(register, because);
	}

	/** Forgets what is in r0-r9 and on the stack. */
	loseAll(because: string): void {
		for (const register of [...LOST_BY_CALL, ...KEPT]) this.#lose(register, because);
		for (const value of this.#parked.keys()) value.lostBecause = because;
		this.#parked.clear();
		this.assumeWritten();
	}

	/** After a call: argument and result registers are gone, and packet pointers if the packet may have moved. */
	afterCall(helper: string, movesPacket: boolean): void {
		for (const register of LOST_BY_CALL)
			this.#lose(register, `it was in r${register}, lost by the call of ${helper}`);
		if (!movesPacket) return;
		const because = `${helper} may move the packet: load it anew from the context`;
		for (const register of KEPT) {
			const value = this.occupant(register);
			if (value !== undefined && pointsIntoPacket(value)) this.#lose(register, because);
		}
		for (const value of this.#parked.keys()) {
			if (pointsIntoPacket(value)) this.#unpark(value, because);
		}
	}

	/** What holds both here and there: where two paths meet. */
	meet(other: Flow, place: string): void {
		for (const register of ALL) {
			const here = this.#occupants[register];
			if (here === undefined) continue;
			const there = other.#occupants[register];
			if (there?.value !== here.value) {
				this.#lose(register, `not every path to ${place} has it`);
			} else if (!there.assigned) {
				this.#occupants[register] = there;
			}
		}
		for (const register of ALL) {
			const there = other.occupant(register);
			if (there !== undefined && this.find(there) === undefined)
				there.lostBecause = `not every path to ${place} has it`;
		}
		for (const [value, bytes] of this.#proven) this.prove(value, Math.min(bytes, other.proven(value)));
		for (const [value, bytes] of this.#parked) {
			const there = other.#parked.get(value);
			if (there === undefined) this.#unpark(value, `not every path to ${place} has it parked`);
			else this.#parked.set(value, Math.min(bytes, there));
		}
		this.#written &= other.#written;
	}

	/** Frees the registers of values whose scope ended after this was noted. */
	releaseEnded(except: ReadonlySet<Value>): void {
		for (const value of this.ended()) if (!except.has(value)) this.release(value);
	}

	/** Values whose scope has ended, and which still have a register here. */
	ended(): readonly Value[] {
		return this.#occupants.flatMap((occupant) => (occupant?.value.hasEnded ? [occupant.value] : []));
	}

	/** The first reason why `this` does not have all that `head` relies on, for a jump back to it. */
	lackOf(head: Flow): string | undefined {
		for (const register of ALL) {
			const needed = head.#occupants[register];
			if (needed === undefined) continue;
			const { value, assigned } = needed;
			const here = this.#occupants[register];
			if (here?.value !== value || (assigned && !here.assigned))
				return `${value.name} is not in r${register}`;
		}
		for (const [value, bytes] of head.#proven) {
			if (this.proven(value) < bytes)
				return `${value.name} is proven for ${this.proven(value)} bytes, not ${bytes}`;
		}
		for (const [value, bytes] of head.#parked) {
			const here = this.#parked.get(value);
			if (here === undefined) return `${value.name} is not parked`;
			if (here < bytes) return `${value.name} is parked with ${here} bytes proven, not ${bytes}`;
		}
		return undefined;
	}

	#unpark(value: Value, because: string): void {
		this.#parked.delete(value);
		value.lostBecause = because;
	}

	#lose(register: Register, because: string): void {
		const value = this.occupant(register);
		if (value === undefined) return;
		this.#occupants[register] = undefined;
		this.#proven.delete(value);
		value.lostBecause = because;
	}
}

function pointsIntoPacket({ kind }: Value): boolean {
	return kind === "packet" || kind === "packet end" || kind === "packet meta";
}

function stackBits(offset: number, bytes: number): bigint {
	return ((1n << BigInt(bytes)) - 1n) << BigInt(STACK_BYTES + offset);
}
