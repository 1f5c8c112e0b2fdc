/** Decodes bytes to instructions: the inverse of encoding, without the names that encoding drops. */
import { buildError, type Instruction, type Register, SLOT_BYTES } from "./instruction.ts";
import { BPF_LD_IMM64 } from "./opcode.ts";

function asRegister(value: number): Register | undefined {
	// the type is this range
	return value <= 10 ? (value as Register) : undefined;
}

/**
 * Decodes a program, as encoded or as the kernel returns it. Unknown opcodes are decoded too; the listing
 * marks them. Throws BpfError (BUILD) if the bytes cannot be instructions.
 */
export function decodeInstructions(bytes: Uint8Array): readonly Instruction[] {
	if (bytes.length % SLOT_BYTES !== 0) {
		throw buildError(`disassemble: ${bytes.length} bytes are not a multiple of ${SLOT_BYTES}`);
	}
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	const instructions: Instruction[] = [];
	for (let at = 0; at < bytes.length; at += SLOT_BYTES) {
		const opcode = view.getUint8(at);
		const registers = view.getUint8(at + 1);
		const dst = asRegister(registers & 0x0f);
		const slot = at / SLOT_BYTES;
		if (dst === undefined) throw buildError(`disassemble: no register r${registers & 0x0f}, at slot ${slot}`);
		const common = { opcode, dst, src: registers >> 4, offset: view.getInt16(at + 2, true) };
		if (opcode !== BPF_LD_IMM64) {
			instructions.push({ ...common, immediate: view.getInt32(at + 4, true) });
			continue;
		}
		if (at + 2 * SLOT_BYTES > bytes.length) {
			throw buildError(`disassemble: the 64-bit immediate at slot ${slot} is cut short`);
		}
		const low = view.getUint32(at + 4, true);
		at += SLOT_BYTES;
		if (view.getUint32(at, true) !== 0) {
			throw buildError(`disassemble: slot ${slot + 1} is not the second half of a 64-bit immediate`);
		}
		const high = view.getUint32(at + 4, true);
		instructions.push({ ...common, immediate: (BigInt(high) << 32n) | BigInt(low) });
	}
	return instructions;
}
