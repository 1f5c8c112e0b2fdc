/**
 * Encodes instructions as bytes and computes the offsets of labels, for little-endian hosts (x86-64, arm64,
 * riscv64).
 */
import { buildError, type Instruction, type MapReference, SLOT_BYTES, slotsOf } from "./instruction.ts";
import { BPF_CALL, BPF_CLASS_MASK, BPF_JA, BPF_JMP, BPF_JMP32, BPF_LD_IMM64, BPF_OP_MASK } from "./opcode.ts";

/** Maps each label to its slot. Throws BpfError (BUILD) for a duplicate label. */
export function labelOffsets(instructions: readonly Instruction[]): ReadonlyMap<string, number> {
	const offsets = new Map<string, number>();
	let slot = 0;
	for (const instruction of instructions) {
		if (instruction.symbol !== undefined) {
			if (offsets.has(instruction.symbol))
				throw buildError(`assemble: label ${instruction.symbol} is given twice`);
			offsets.set(instruction.symbol, slot);
		}
		slot += slotsOf(instruction);
	}
	return offsets;
}

/** A call or BPF_JA of class JMP32 has its distance in the immediate, every other jump in the offset. */
export function distanceIsImmediate(opcode: number): boolean {
	const operation = opcode & BPF_OP_MASK;
	const kind = opcode & BPF_CLASS_MASK;
	return (kind === BPF_JMP && operation === BPF_CALL) || (kind === BPF_JMP32 && operation === BPF_JA);
}

/** Replaces the labels of jumps by distances. The result has the same symbols, and no targets. */
export function resolveLabels(instructions: readonly Instruction[]): readonly Instruction[] {
	const offsets = labelOffsets(instructions);
	let slot = 0;
	return instructions.map((instruction) => {
		slot += slotsOf(instruction);
		if (instruction.target === undefined) return instruction;
		const { target, ...rest } = instruction;
		const destination = offsets.get(target);
		if (destination === undefined) throw buildError(`assemble: no label ${target}, which a jump goes to`);
		const distance = destination - slot;
		if (distanceIsImmediate(instruction.opcode)) return { ...rest, immediate: distance };
		return { ...rest, offset: distance };
	});
}

/** Encoded instructions, 8 bytes a slot, with 0 in the place of each map. */
export interface EncodedInstructions {
	readonly bytes: Uint8Array;
	/** First byte of the instruction → the map that it refers to. */
	readonly maps: ReadonlyMap<number, MapReference>;
}

/**
 * Encodes everything except map descriptors. Throws BpfError (BUILD) for an unknown or duplicate label and for a number
 * that does not fit its field.
 */
export function encodeWithoutMaps(instructions: readonly Instruction[]): EncodedInstructions {
	const resolved = resolveLabels(instructions);
	const slots = resolved.reduce((sum, instruction) => sum + slotsOf(instruction), 0);
	const bytes = new Uint8Array(slots * SLOT_BYTES);
	const maps = new Map<number, MapReference>();
	const view = new DataView(bytes.buffer);
	let at = 0;
	for (const instruction of resolved) {
		if (instruction.map !== undefined) maps.set(at, instruction.map);
		at = writeInstruction(view, at, instruction);
	}
	return { bytes, maps };
}

/** The bytes for BPF_PROG_LOAD. `descriptorOf` returns the number that replaces a map reference. */
export function withDescriptors(
	{ bytes, maps }: EncodedInstructions,
	descriptorOf: (map: MapReference) => number,
): Uint8Array {
	const linked = bytes.slice();
	const view = new DataView(linked.buffer);
	for (const [at, reference] of maps) {
		view.setInt32(at + IMMEDIATE_OFFSET, descriptorOf(reference), true);
		view.setInt32(at + SLOT_BYTES + IMMEDIATE_OFFSET, reference.valueOffset ?? 0, true);
	}
	return linked;
}

/** Encodes with map descriptors. Throws like {@link encodeWithoutMaps}. */
export function encodeInstructions(
	instructions: readonly Instruction[],
	descriptorOf: (map: MapReference) => number,
): Uint8Array {
	return withDescriptors(encodeWithoutMaps(instructions), descriptorOf);
}

/** Of the immediate in `struct bpf_insn`. */
const IMMEDIATE_OFFSET = 4;

/** Writes one instruction at byte `at`; returns the byte after it. */
function writeInstruction(view: DataView, at: number, instruction: Instruction): number {
	const { opcode, dst, src, offset, map } = instruction;
	const [low, high] = immediates(instruction);
	if (offset < -0x8000 || offset > 0x7fff) {
		throw buildError(`assemble: offset ${offset} at instruction ${at / SLOT_BYTES} does not fit 16 bits`);
	}
	if (low < -0x8000_0000 || low > 0xffff_ffff || !Number.isInteger(low)) {
		throw buildError(`assemble: immediate ${low} at instruction ${at / SLOT_BYTES} does not fit 32 bits`);
	}
	if (map !== undefined && opcode !== BPF_LD_IMM64) {
		throw buildError(`assemble: instruction ${at / SLOT_BYTES} cannot refer to map ${map.name}`);
	}
	view.setUint8(at, opcode);
	view.setUint8(at + 1, dst | (src << 4));
	view.setInt16(at + 2, offset, true);
	view.setInt32(at + IMMEDIATE_OFFSET, low, true);
	if (opcode !== BPF_LD_IMM64) return at + SLOT_BYTES;
	view.setInt32(at + SLOT_BYTES + IMMEDIATE_OFFSET, high, true);
	return at + 2 * SLOT_BYTES;
}

function immediates({ immediate }: Instruction): readonly [low: number, high: number] {
	if (typeof immediate === "number") return [immediate, 0];
	return [Number(BigInt.asIntN(32, immediate)), Number(BigInt.asIntN(32, immediate >> 32n))];
}
