/** What the reporting programs of one watcher share: the ring buffer that they write to, their credit, and flows. */
import { BpfMap, type MapSpec, RingBuffer, recordBytes, ringBufferSpec } from "@l3dsr/bpf";
import type { MappedMemory } from "@l3dsr/linux";
import { CONTROL, CONTROL_MAP, REPORT_MAP } from "../../programs/report.ts";
import type { WatchOptions } from "./sighting.ts";

/** The reader polls several times a second; the buffer holds more than the events of a fifth of a second. */
const SMALLEST_BUFFER = 256 << 10;
const LARGEST_BUFFER = 16 << 20;

/** What the programs send, and how they tell flows apart. */
export interface Reported<Event> {
	readonly event: { readonly size: number; decode(bytes: Uint8Array): Event };
	readonly flows: MapSpec;
}

export class ReportChannel<Event> implements Disposable {
	/** By their name in the programs' specs. */
	readonly maps: ReadonlyMap<string, BpfMap>;
	readonly ringSpec: MapSpec;
	readonly #ring: RingBuffer;
	readonly #memory: MappedMemory;
	readonly #owned: readonly Disposable[];
	readonly #rate: number;
	readonly #event: Reported<Event>["event"];
	#creditedAtMs = performance.now();

	/** Throws KERNEL_*, and leaves nothing behind. */
	constructor(
		{ event, flows: flowsSpec }: Reported<Event>,
		{ rate, flows }: Pick<WatchOptions, "rate" | "flows">,
	) {
		this.#rate = rate;
		this.#event = event;
		const room = Math.ceil(rate / 5) * recordBytes(event.size);
		const bytes = Math.min(LARGEST_BUFFER, Math.max(SMALLEST_BUFFER, room));
		this.ringSpec = ringBufferSpec(REPORT_MAP.ring, bytes);
		this.#ring = RingBuffer.create(this.ringSpec);
		const owned: Disposable[] = [this.#ring];
		const own = <T extends Disposable>(one: T): T => {
			owned.unshift(one);
			return one;
		};
		try {
			const control = own(BpfMap.create(CONTROL_MAP));
			const maps = new Map<string, BpfMap>([
				[REPORT_MAP.ring, this.#ring.map],
				[REPORT_MAP.control, control],
			]);
			if (flows) maps.set(REPORT_MAP.flows, own(BpfMap.create(flowsSpec)));
			this.maps = maps;
			this.#memory = own(control.mapMemory({ writable: true }));
		} catch (error) {
			for (const one of owned) one[Symbol.dispose]();
			throw error;
		}
		this.#owned = owned;
		Atomics.store(this.#number("credit"), 0, BigInt(rate));
	}

	/** Packets that were not reported, for lack of credit or space. */
	get leftOut(): bigint {
		return Atomics.load(this.#number("leftOut"), 0);
	}

	/** Every event since the last call; also grants new credit for the elapsed time. */
	read(): readonly Event[] {
		const events: Event[] = [];
		this.#ring.read((record) => events.push(this.#event.decode(record)));
		const earned = Math.floor(((performance.now() - this.#creditedAtMs) * this.#rate) / 1000);
		this.#creditedAtMs += (earned * 1000) / this.#rate;
		const credit = this.#number("credit");
		const room = this.#rate - Number(Atomics.load(credit, 0));
		Atomics.add(credit, 0, BigInt(Math.min(earned, room)));
		return events;
	}

	#number(field: "credit" | "leftOut"): BigInt64Array {
		const { buffer, byteOffset } = this.#memory.bytes;
		return new BigInt64Array(buffer, byteOffset + CONTROL.offsetOf(field), 1);
	}

	[Symbol.dispose](): void {
		for (const one of this.#owned) one[Symbol.dispose]();
	}
}
