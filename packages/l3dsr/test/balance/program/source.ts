/**
 * A source of hundreds of thousands of packets a second for a director's program, inside the kernel: a
 * program in front of it writes new headers each time, if needed of another flow each time, and continues
 * with a tail call.
 */
import {
	arrayKey,
	BpfMap,
	type MapSpec,
	Program,
	ProgramBuilder,
	part,
	sendLiveFrames,
	struct,
	testRun,
	view,
	whole,
	XDP,
	XDP_ACTION,
} from "@l3dsr/bpf";
import { bytesOf, ethernet, ipv4, ipv6, tcp } from "../../packets/build.ts";

export const OWN_MAC_TEXT = "02:00:00:00:00:01";
/** The rewritten part of the frame: at least its headers. */
const FRAME_BYTES = 80;
const LINK_BYTES = 14;
/** The words from the network header to the end of the rewritten part. */
const WORDS_BYTES = 64;
/** The part of the source address in which flows differ, and how far their 24 bits stand from its start. */
const FLOW_WORD: Readonly<Record<"ipv4" | "ipv6", FlowWord>> = {
	ipv4: { at: 26, bytes: 4, shift: 8 },
	ipv6: { at: 30, bytes: 8, shift: 40 },
};
export const VIPS = { ipv4: "192.0.2.10", ipv6: "2001:db8:a::10" } as const;

export const SYN = 0x02;
export const ACK = 0x10;

export interface Traffic {
	readonly frame: Uint8Array;
	/** The number of flows in turn, a power of two; their sources differ. */
	readonly flows: number;
	/** Undefined for one flow. */
	readonly flowWord?: FlowWord;
}

interface FlowWord {
	readonly at: number;
	readonly bytes: 4 | 8;
	readonly shift: number;
}

/** A TCP packet of `flows` clients in turn. */
export function traffic(
	flows: number,
	flags = ACK,
	family: "ipv4" | "ipv6" = "ipv4",
	destination: string = VIPS[family],
): Traffic {
	const segment = tcp({ sourcePort: 40000, destinationPort: 80, data: new Uint8Array(40) });
	const source = family === "ipv4" ? "11.0.0.1" : "2001:db8:c::1";
	const packet =
		family === "ipv4" ? ipv4({ source, destination }, segment) : ipv6({ source, destination }, segment);
	const whole = bytesOf(ethernet({ destination: OWN_MAC_TEXT }, packet));
	whole[14 + (family === "ipv4" ? 20 : 40) + 13] = flags;
	return { frame: whole.slice(0, Math.max(FRAME_BYTES, whole.length)), flows, flowWord: FLOW_WORD[family] };
}

/** A program that writes the next packet of `traffic` and passes it to another program. */
export class Source implements Disposable {
	readonly #program: Program;
	readonly #next: BpfMap;
	readonly #frame: Uint8Array;

	constructor(traffic: Traffic, next: Pick<Program, "fd">) {
		this.#frame = traffic.frame;
		const spec = {
			name: "bench_next",
			type: "BPF_MAP_TYPE_PROG_ARRAY",
			keySize: 4,
			valueSize: 4,
			maxEntries: 1,
		} as const;
		this.#next = BpfMap.create(spec);
		this.#next.update(arrayKey(0), new Uint8Array(Int32Array.of(next.fd).buffer));
		this.#program = Program.load(sourceSpec(traffic, spec), {
			maps: new Map([[spec.name, this.#next]]),
		});
	}

	/** Nanoseconds per packet of a test run. */
	test(repeat: number): number {
		return testRun(this.#program, { data: this.#frame, repeat }).durationNs;
	}

	/** Throws RangeError if the program behind it has another verdict than the one to be measured. */
	expect(verdict: number, name: string): void {
		const actual = testRun(this.#program, { data: this.#frame }).verdict;
		if (actual !== verdict) throw new RangeError(`${name}: verdict ${actual}, expected ${verdict}`);
	}

	/** Nanoseconds per frame that goes where its verdict sends it. */
	live(ifindex: number, repeat: number): number {
		const context = XDP.encode({ data_end: this.#frame.length, ingress_ifindex: ifindex });
		return sendLiveFrames(this.#program, { data: this.#frame, context, repeat });
	}

	[Symbol.dispose](): void {
		this.#program[Symbol.dispose]();
		this.#next[Symbol.dispose]();
	}
}

const MEMORY = struct("memory", { number: "u64", frame: { bytes: FRAME_BYTES } });
/** Odd: as the number grows, all 24 bits change and no value repeats. */
const SPREAD = 0x9e3779b1;

/**
 * A processor hands a load what a store before it has written only if that one store has all of it; otherwise the load
 * waits for some 5 ns, which a packet from a card does not cost. So the words begin at the network header: no field that
 * a program loads at once lies in two of them, in either family.
 */
function sourceSpec({ frame, flows, flowWord }: Traffic, programs: MapSpec) {
	const p = new ProgramBuilder({ name: "bench_source", type: "BPF_PROG_TYPE_XDP" });
	const value = new Uint8Array(MEMORY.bytes);
	value.set(frame.subarray(0, FRAME_BYTES), MEMORY.fields.frame.offset);
	if (flowWord !== undefined) {
		const { at, shift } = flowWord;
		value.fill(
			0,
			MEMORY.fields.frame.offset + at + shift / 8,
			MEMORY.fields.frame.offset + at + shift / 8 + 3,
		);
	}
	const map = p.map({
		name: "bench_frame",
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: value.length,
		maxEntries: 1,
		contents: [{ key: arrayKey(0), value }],
	});
	const ctx = p.context(XDP);
	const out = p.label("too short");
	p.keep(ctx);
	p.comment("the headers as they were");
	const data = p.load(ctx.data, { name: "data" });
	p.prove(data, FRAME_BYTES, ctx.data_end, out);
	const memory = view(p.mapValue(map), MEMORY);
	const to = whole(view(data, struct("frame", { all: { bytes: FRAME_BYTES } })));
	for (const [at, bytes] of [
		[0, LINK_BYTES],
		[LINK_BYTES, WORDS_BYTES],
		[LINK_BYTES + WORDS_BYTES, FRAME_BYTES - LINK_BYTES - WORDS_BYTES],
	] as const) {
		p.copyBytes(part(to, at, bytes), part(memory.frame, at, bytes));
	}
	if (flowWord !== undefined) {
		p.comment("of the next flow");
		const { at, bytes, shift } = flowWord;
		using number = p.load(memory.number);
		number.add(1);
		p.store(memory.number, number);
		number
			.and(flows - 1)
			.mul(SPREAD)
			.and(0xff_ffff)
			.lsh(shift);
		// The other bytes stay: the first ones determine the kind of address.
		using others = p.load(part(memory.frame, at, bytes), { name: "others" });
		number.or(others);
		p.store(part(to, at, bytes), number);
	}
	p.tailCall(programs, 0, ctx);
	p.placeBare(out);
	p.exit(XDP_ACTION.ABORTED);
	return p.build();
}
