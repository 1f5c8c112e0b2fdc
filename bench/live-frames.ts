/**
 * A source of packets inside the kernel: an XDP program in a test run on live frames. Before it sends a
 * frame, it writes the next of 64 headers into it, because frames are reused and come back rewritten.
 */
import { asm, Program, type ProgramSpec, sendLiveFrames, XDP } from "@l3dsr/bpf";

const { add, and, call, exit, HELPER_FUNCTIONS, jgt, load, loadMapValue, mov, mul, store } = asm;

const XDP_PASS = 2;
const XDP_ABORTED = 0;
const ETHERNET_BYTES = 14;
/**
 * Bytes of network and transport header that are rewritten in each frame: IPv4 and UDP, with space for IPv6
 * and UDP.
 */
const HEADER_BYTES = 48;
const HEADERS = 64;
/** Offset in the map's value, after the number of the next header. */
const HEADERS_OFFSET = 8;
const MAP = "bench_headers";

export interface FrameSource {
	/** Frames that differ only in their network and transport headers; sent in turn. */
	readonly frames: readonly Uint8Array[];
	/** Undefined: up the stack from `ingress`. Else out of the interface with this index (XDP_REDIRECT). */
	readonly redirectTo?: number;
}

/** Loads the source's program. Throws RangeError for frames that differ in more than their headers. */
export function loadFrameSource(source: FrameSource): LiveFrames {
	return new LiveFrames(source);
}

export class LiveFrames implements Disposable {
	readonly #program: Program;
	readonly #data: Uint8Array;

	constructor(source: FrameSource) {
		const [first] = source.frames;
		if (first === undefined || first.length < ETHERNET_BYTES + HEADER_BYTES) {
			throw new RangeError(`live frames need at least ${ETHERNET_BYTES + HEADER_BYTES} bytes`);
		}
		if (source.frames.some((frame) => frame.length !== first.length)) {
			throw new RangeError("live frames must be of one length");
		}
		this.#data = first;
		this.#program = Program.load(sourceSpec(source));
	}

	/** Nanoseconds per frame for its whole way. `ingress`: index of the interface. */
	send(ingress: number, count: number): number {
		const context = XDP.encode({ data_end: this.#data.length, ingress_ifindex: ingress });
		return sendLiveFrames(this.#program, { data: this.#data, context, repeat: count });
	}

	[Symbol.dispose](): void {
		this.#program[Symbol.dispose]();
	}
}

function sourceSpec({ frames, redirectTo }: FrameSource): ProgramSpec {
	const value = new Uint8Array(HEADERS_OFFSET + HEADERS * HEADER_BYTES);
	for (let index = 0; index < HEADERS; index++) {
		const frame = frames[index % frames.length] ?? new Uint8Array();
		const header = frame.subarray(ETHERNET_BYTES, ETHERNET_BYTES + HEADER_BYTES);
		value.set(header, HEADERS_OFFSET + index * HEADER_BYTES);
	}
	const words = Array.from({ length: HEADER_BYTES / 8 }, (_, index) => index * 8);
	const verdict =
		redirectTo === undefined
			? [mov.imm(0, XDP_PASS)]
			: [mov.imm(1, redirectTo), mov.imm(2, 0), call(HELPER_FUNCTIONS.bpf_redirect.id)];
	return {
		name: "bench_source",
		type: "BPF_PROG_TYPE_XDP",
		license: "Dual BSD/GPL",
		maps: [
			{
				name: MAP,
				type: "BPF_MAP_TYPE_ARRAY",
				keySize: 4,
				valueSize: value.length,
				maxEntries: 1,
				contents: [{ key: new Uint8Array(4), value }],
			},
		],
		instructions: [
			{ ...load(4, 6, 1, 0), comment: "prove the headers' bounds" },
			load(4, 3, 1, 4),
			mov.reg(2, 6),
			add.imm(2, ETHERNET_BYTES + HEADER_BYTES),
			jgt.reg(2, 3, "out"),
			{ ...loadMapValue(7, MAP, 0), comment: "whose turn is it?" },
			load(4, 8, 7, 0),
			mov.reg(2, 8),
			add.imm(2, 1),
			store(4, 7, 0, 2),
			and.imm(8, HEADERS - 1),
			mul.imm(8, HEADER_BYTES),
			add.reg(7, 8),
			...words.flatMap((offset, index) => [
				{ ...load(8, 2, 7, HEADERS_OFFSET + offset), ...(index === 0 ? { comment: "its headers" } : {}) },
				store(8, 6, ETHERNET_BYTES + offset, 2),
			]),
			...verdict.map((instruction, index) => ({
				...instruction,
				...(index === 0 ? { comment: "let the frame go" } : {}),
			})),
			exit(),
			{ ...mov.imm(0, XDP_ABORTED), symbol: "out", comment: "not one of ours" },
			exit(),
		],
	};
}
