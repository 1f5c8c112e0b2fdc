/** Converts numbers to the bits that an instruction holds, in the byte order of the other operand. */
import type { ByteOrder } from "./kind.ts";

/** The properties that determine a constant's bits. */
export interface ConstantType {
	readonly bytes: number;
	readonly order: ByteOrder;
}

/** The bits of `number` in the order of `type`, unsigned; undefined if the type has too few bits. */
export function constantBits(type: ConstantType, number: number | bigint): bigint | undefined {
	const value = BigInt(number);
	const bits = BigInt(type.bytes) * 8n;
	if (value >= 1n << bits || value < -(1n << (bits - 1n))) return undefined;
	const pattern = BigInt.asUintN(Number(bits), value);
	return type.order === "network" ? reverseBytes(pattern, type.bytes) : pattern;
}

/** `pattern` as the signed 32-bit immediate of an instruction of this width; undefined if it does not fit. */
export function asImmediate(pattern: bigint, width: 32 | 64): number | undefined {
	if (width === 32) return Number(BigInt.asIntN(32, pattern));
	const signed = BigInt.asIntN(64, pattern);
	return signed >= -0x8000_0000n && signed <= 0x7fff_ffffn ? Number(signed) : undefined;
}

/** The bytes of a memory cell as the number that a little-endian load returns. */
export function numberOfBytes(bytes: Uint8Array): bigint {
	return bytes.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

function reverseBytes(pattern: bigint, bytes: number): bigint {
	let reversed = 0n;
	for (let index = 0; index < bytes; index++) {
		reversed = (reversed << 8n) | ((pattern >> BigInt(8 * index)) & 0xffn);
	}
	return reversed;
}
