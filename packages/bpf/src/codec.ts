/** Converts values to the bytes of a key, a value or a record, and back. Every `struct()` is a codec. */

/** `In`: the type that is encoded; `Out`: the type that decoding returns. */
export interface Codec<In, Out = In> {
	/** Bytes. */
	readonly size: number;
	encode(value: In): Uint8Array;
	decode(bytes: Uint8Array): Out;
}

/** A 32-bit number in host order: an array's index, a counter. */
export const U32: Codec<number> = {
	size: 4,
	encode: (value) => Buffer.from(Uint32Array.of(value).buffer),
	decode: (bytes) => viewOf(bytes).getUint32(0, true),
};

/** A 64-bit number in host order. */
export const U64: Codec<bigint | number, bigint> = {
	size: 8,
	encode: (value) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer),
	decode: (bytes) => viewOf(bytes).getBigUint64(0, true),
};

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
	return new DataView(buffer, byteOffset, byteLength);
}
