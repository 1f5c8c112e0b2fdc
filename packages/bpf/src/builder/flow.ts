/**
 * What is known at one point of a program along every path to it: the value in each register, and the proven
 * range of packet pointers. The builder's counterpart of the verifier's state.
 */
import { buildError, type Register } from "../asm/instruction.ts";
import type { Placement, Value } from "./value.ts";

interface Occupant {
	readonly value: Value;
	/** Whether it has been written. A register that is only allocated cannot be read. */
	readonly assigned: boolean;
}

/** r0 first: it is not an argument of calls, so a temporary there causes no moves. */
const SCRATCH: readonly Register[] = [0, 5, 4, 3, 2, 1];
const KEPT: readonly Register[] = [6, 7, 8, 9];
const LOST_BY_CALL: readonly Register[] = [0, 1, 2, 3, 4, 5];
const ALL: readonly Register[] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

/** The stack of a program, uapi/linux/filter.h: MAX_BPF_STACK. */
export const STACK_BYTES = 512;
const WHOLE_STACK = (1n << BigInt(STACK_BYTES)) - 1n;

export class Flow {
	/** Indexed by register. */
	#occupants: (Occupant | undefined)[] = [];
	#proven = new Map<Value, number>();
	/** Values that are in their stack slot, with the proven range of each. */
	#parked = new Map<Value, number>();
	/** One bit for each byte of the stack that every path has written, lowest address first. */
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
		// Check the register that it was in last first.
		if (home !== undefined && this.#occupants[home]?.value === value) return home;
		return ALL.find((register) => this.#occupants[register]?.value === value);
	}

	isAssigned(value: Value): boolean {
		const register = this.find(value);
		return register !== undefined && this.#occupants[register]?.assigned === true;
	}

	/** Allocates a register for `value`. Throws BpfError (BUILD) if none is free. */
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

	/** Moves the value to its stack slot and frees its register. */
	park(value: Value): void {
		const proven = this.proven(value);
		this.release(value);
		this.#parked.set(value, proven);
		value.lostBecause = "it is parked on the stack: restore() it";
	}

	/** The proven range of a parked value; undefined if it is not parked here. */
	parked(value: Value): number | undefined {
		return this.#parked.get(value);
	}

	/** Whether the register is free. */
	isFree(register: Register): boolean {
		return this.#occupants[register] === undefined;
	}

	/** Records that these bytes of the stack, at `offset` below 0, have been written. */
	write(offset: number, bytes: number): void {
		this.#written |= stackBits(offset, bytes);
	}

	/** The contents of the stack are unknown from here on; they count as written. */
	assumeWritten(): void {
		this.#written = WHOLE_STACK;
	}

	/** Whether every path has written all of these bytes of the stack. */
	isWritten(offset: number, bytes: number): boolean {
		const bits = stackBits(offset, bytes);
		return (this.#written & bits) === bits;
	}

	assign(value: Value): void {
		const register = this.find(value);
		if (register !== undefined && !this.isAssigned(value))
			this.#occupants[register] = { value, assigned: true };
	}

	/** Puts `value` into a register and displaces the value there. */
	put(register: Register, value: Value): void {
		this.#lose(register, `its register was taken by ${value.name}`);
		this.#occupants[register] = { value, assigned: true };
		value.home = register;
	}

	/** From here on, the register of `value` holds `successor`, with the same proven range. */
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

	/** Gives a lost value its previous register again, not yet set. */
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

	/**
	 * After a call: argument and result registers are lost, and packet pointers if the packet may have moved.
	 */
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

	/** Keeps what holds on both paths that meet here. */
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

	/** Frees the registers of values whose scope has ended, except the given ones. */
	releaseEnded(except: ReadonlySet<Value>): void {
		for (const value of this.ended()) if (!except.has(value)) this.release(value);
	}

	/** Values whose scope has ended but that still have a register here. */
	ended(): readonly Value[] {
		return this.#occupants.flatMap((occupant) => (occupant?.value.hasEnded ? [occupant.value] : []));
	}

	/** The first thing that `head` requires and this flow lacks, for a jump back to it. */
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
