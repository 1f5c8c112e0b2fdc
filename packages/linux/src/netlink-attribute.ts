/** Netlink attributes: type, length and value, padded to four bytes; a value can consist of attributes. */
import { LinuxError } from "./error.ts";

const HEADER_BYTES = 4;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** Attributes by type; of several with one type, the last counts. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

/** One attribute with its padding. */
export function attribute(type: number, value: Uint8Array): Uint8Array {
	const length = HEADER_BYTES + value.length;
	const bytes = new Uint8Array((length + 3) & ~3);
	const view = new DataView(bytes.buffer);
	view.setUint16(0, length, true);
	view.setUint16(2, type, true);
	bytes.set(value, HEADER_BYTES);
	return bytes;
}

/** An attribute whose value consists of attributes. */
export function nestedAttribute(type: number, ...values: readonly Uint8Array[]): Uint8Array {
	return attribute(type | NLA_F_NESTED, Buffer.concat(values));
}

/** A value of 32 bits, signed or not. */
export function u32Value(value: number): Uint8Array {
	const bytes = new Uint8Array(4);
	new DataView(bytes.buffer).setUint32(0, value >>> 0, true);
	return bytes;
}

/** Text with a terminating zero. */
export function textValue(text: string): Uint8Array {
	return Buffer.from(`${text}\0`, "utf8");
}

/** Attributes by type. Throws LinuxError (SYSCALL) if one does not fit. */
export function decodeAttributes(bytes: Uint8Array): Attributes {
	const attributes = new Map<number, Uint8Array>();
	eachAttribute(bytes, (type, at, end) => attributes.set(type, bytes.subarray(at + HEADER_BYTES, end)));
	return attributes;
}

/**
 * Attributes in order, for lists whose attributes have the same type. Throws LinuxError (SYSCALL) if one does
 * not fit.
 */
export function attributeSequence(
	bytes: Uint8Array,
): { readonly type: number; readonly value: Uint8Array; readonly whole: Uint8Array }[] {
	const attributes: { type: number; value: Uint8Array; whole: Uint8Array }[] = [];
	eachAttribute(bytes, (type, at, end) => {
		const value = bytes.subarray(at + HEADER_BYTES, end);
		attributes.push({ type, value, whole: bytes.subarray(at, paddedEnd(at, end)) });
	});
	return attributes;
}

/** `at` and `end`: the start of the attribute with its header, and its end without padding. */
function eachAttribute(bytes: Uint8Array, take: (type: number, at: number, end: number) => void): void {
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
	for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
		const length = view.getUint16(at, true);
		const end = at + length;
		if (length < HEADER_BYTES || end > bytes.length) {
			throw new LinuxError(
				"SYSCALL",
				`read netlink attributes: one of ${length} bytes at byte ${at} of ${bytes.length}`,
			);
		}
		take(view.getUint16(at + 2, true) & NLA_TYPE_MASK, at, end);
		at = paddedEnd(at, end);
	}
}

function paddedEnd(at: number, end: number): number {
	return at + ((end - at + 3) & ~3);
}

/** An attribute of 32 bits; undefined if it is absent. */
export function u32Attribute(attributes: Attributes, type: number): number | undefined {
	const value = attributes.get(type);
	if (value === undefined || value.length < 4) return undefined;
	return new DataView(value.buffer, value.byteOffset).getUint32(0, true);
}

/** A text attribute, up to its first zero; undefined if it is absent. */
export function textAttribute(attributes: Attributes, type: number): string | undefined {
	const value = attributes.get(type);
	return value === undefined ? undefined : textOf(value);
}

/** Text up to its first zero. */
export function textOf(value: Uint8Array): string {
	const end = value.indexOf(0);
	return Buffer.from(end < 0 ? value : value.subarray(0, end)).toString("utf8");
}
