/** The table of real servers: each entry is at the number that slots, flows and counters use. */
import type { Dscp, Family } from "@l3dsr/packet";
import type { Counters } from "../../model/rule.ts";
import { HEADER, HOP, REAL, REAL_FLAG } from "../tables/layout.ts";
import { decodeReal, encodeReal, flagsOf, type Hop, REAL_AT, type RealEntry } from "../tables/real-entry.ts";
import type { CurrentPlace, NumberedReal } from "../tables/state.ts";
import type { SharedMemory } from "./shared-memory.ts";

/** Each write is safe at any moment: it is one aligned store, or goes to a place that nothing refers to yet. */
export class RealTable {
	readonly #memory: SharedMemory;
	/** Decoded entries and their bytes. Of a thousand entries, few have changed by the next read. */
	readonly #decoded = new Map<number, { readonly bytes: Uint8Array; readonly entry: RealEntry }>();

	constructor(memory: SharedMemory) {
		this.#memory = memory;
	}

	/** The entries of a service, only of taken numbers. */
	of({ first, room, address: { family } }: Pick<CurrentPlace, "first" | "room" | "address">): NumberedReal[] {
		const found: NumberedReal[] = [];
		for (let index = 0; index < room; index++) {
			const entry = this.entry(first + index, family);
			if (entry !== undefined) found.push({ index, entry });
		}
		return found;
	}

	/** True if a real of this service was removed from the configuration. */
	hasLeft({ first, room }: Pick<CurrentPlace, "first" | "room">): boolean {
		const { words } = this.#memory;
		for (let number = first; number < first + room; number++)
			if ((this.flags(number) & REAL_FLAG.used) !== 0 && words[(realAt(number) + REAL_AT.left) / 4] !== 0)
				return true;
		return false;
	}

	/** Undefined if the number is free. */
	entry(number: number, family: Family): RealEntry | undefined {
		if ((this.flags(number) & REAL_FLAG.used) === 0) return undefined;
		const at = realAt(number);
		const bytes = this.#memory.memory.bytes.subarray(at, at + REAL.size);
		const known = this.#decoded.get(number);
		if (known?.entry.address.family === family && Buffer.compare(known.bytes, bytes) === 0)
			return known.entry;
		// Copy the bytes, because another process may write them during decoding.
		const copy = bytes.slice();
		const entry = decodeReal(copy, family);
		if (entry !== undefined) this.#decoded.set(number, { bytes: copy, entry });
		return entry;
	}

	/** Only for a number that no slot refers to. Writes the flag that marks it as taken last. */
	put(number: number, entry: RealEntry): void {
		const bytes = encodeReal(entry);
		bytes.fill(0, REAL_AT.flags, REAL_AT.flags + 2);
		this.#memory.memory.bytes.set(bytes, realAt(number));
		this.#memory.halves[(realAt(number) + REAL_AT.flags) / 2] = flagsOf(entry);
	}

	free(number: number): void {
		this.#memory.halves[(realAt(number) + REAL_AT.flags) / 2] = 0;
	}

	/** `flags`: from flagsOf (real-entry.ts), or 0 to free the number. */
	flags(number: number): number {
		return this.#memory.halves[(realAt(number) + REAL_AT.flags) / 2] ?? 0;
	}

	isUp(number: number): boolean {
		return (this.flags(number) & REAL_FLAG.up) !== 0;
	}

	setFlags(number: number, flags: Pick<RealEntry, "up" | "health">): void {
		Atomics.store(this.#memory.halves, (realAt(number) + REAL_AT.flags) / 2, flagsOf(flags));
	}

	/** `tick`: when the real was removed from the configuration; 0 if it is configured. */
	setLeft(number: number, tick: number): void {
		Atomics.store(this.#memory.words, (realAt(number) + REAL_AT.left) / 4, tick);
	}

	setDscp(number: number, code: Dscp, family: Family): void {
		const start = code << (family === "ipv4" ? 2 : 6);
		const swapped = ((start & 0xff) << 8) | (start >> 8);
		Atomics.store(this.#memory.halves, (realAt(number) + REAL_AT.start) / 2, swapped);
	}

	/** First half of a change of next hop: until `setHop`, the program asks the kernel. */
	clearHop(number: number): void {
		Atomics.store(this.#memory.words, (realAt(number) + REAL_AT.ifindex) / 4, HOP.unresolved);
	}

	/** Second half, after no program can be using the old one (waitForGracePeriod). */
	setHop(number: number, entry: RealEntry, hop: Hop): void {
		const bytes = encodeReal({ ...entry, hop });
		const at = realAt(number);
		const { nextHop, ifindex, mtu } = REAL_AT;
		this.#memory.memory.bytes.set(bytes.subarray(nextHop, ifindex), at + nextHop);
		const view = new DataView(bytes.buffer, bytes.byteOffset);
		Atomics.store(this.#memory.words, (at + mtu) / 4, view.getUint32(mtu, true));
		Atomics.store(this.#memory.words, (at + ifindex) / 4, view.getUint32(ifindex, true));
	}

	/** Increases whenever numbers of reals are assigned, freed or changed in more than health. */
	get stamp(): bigint {
		return this.#stamp()[0] ?? 0n;
	}

	touch(): void {
		Atomics.add(this.#stamp(), 0, 1n);
	}

	#stamp(): BigUint64Array {
		const { buffer, byteOffset } = this.#memory.memory.bytes;
		return new BigUint64Array(buffer, byteOffset + HEADER.offsetOf("generation"), 1);
	}

	base(number: number): Counters {
		const view = this.#view(number);
		return {
			packets: view.getBigUint64(REAL_AT.basePackets, true),
			bytes: view.getBigUint64(REAL_AT.baseBytes, true),
		};
	}

	/** The program does not read the base. */
	setBase(number: number, { packets, bytes }: Counters): void {
		const view = this.#view(number);
		view.setBigUint64(REAL_AT.basePackets, BigInt.asUintN(64, packets), true);
		view.setBigUint64(REAL_AT.baseBytes, BigInt.asUintN(64, bytes), true);
	}

	#view(number: number): DataView {
		const { buffer, byteOffset } = this.#memory.memory.bytes;
		return new DataView(buffer, byteOffset + realAt(number), REAL.size);
	}
}

function realAt(number: number): number {
	return HEADER.size + number * REAL.size;
}
