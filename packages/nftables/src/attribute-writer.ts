/**
 * Writes netlink attributes one after the other into one growing buffer. Numbers are in network order; one that
 * does not fit is a RangeError.
 */

const NLA_F_NESTED = 0x8000;
/** Type and length, which come before each payload. */
export const HEADER_BYTES = 4;
/** For texts of so many characters, the calls of Buffer take longer than the characters. */
const SHORT = 32;

export class AttributeWriter {
	#bytes = Buffer.allocUnsafe(1024);
	/**
	 * The same memory. The methods of DataView are built into V8; those of Buffer are JavaScript, which a
	 * short command runs uncompiled.
	 */
	#view = viewOf(this.#bytes);
	#length = 0;

	/** Bytes written since the last {@link take}. */
	get length(): number {
		return this.#length;
	}

	/** A copy of everything written since the last call. */
	take(): Uint8Array {
		const bytes = new Uint8Array(this.#bytes.subarray(0, this.#length));
		this.#length = 0;
		return bytes;
	}

	/**
	 * Begins an attribute: the bytes written next belong to it, until {@link end} is called with the result.
	 */
	begin(type: number, nested: boolean): number {
		const at = this.#reserve(HEADER_BYTES);
		this.#view.setUint16(at + 2, nested ? type | NLA_F_NESTED : type, true);
		return at;
	}

	/** Throws RangeError if the attribute exceeds what its length field can hold (65,535 bytes). */
	end(begun: number): void {
		const length = this.#length - begun;
		if (length > 0xffff) throw new RangeError(`a netlink attribute of ${length} bytes does not fit`);
		this.#view.setUint16(begun, length, true);
		for (let padding = -length & 3; padding > 0; padding--) this.u8(0);
	}

	u8(value: number): void {
		checkWhole(value, 0, 0xff);
		const at = this.#reserve(1);
		this.#view.setUint8(at, value);
	}

	be16(value: number): void {
		checkWhole(value, 0, 0xffff);
		const at = this.#reserve(2);
		this.#view.setUint16(at, value);
	}

	be32(value: number): void {
		checkWhole(value, 0, 0xffff_ffff);
		const at = this.#reserve(4);
		this.#view.setUint32(at, value);
	}

	signedBe32(value: number): void {
		checkWhole(value, -0x8000_0000, 0x7fff_ffff);
		const at = this.#reserve(4);
		this.#view.setInt32(at, value);
	}

	be64(value: bigint): void {
		if (typeof value !== "bigint") throw new RangeError(`${value} is not a bigint`);
		if (value < 0n || value > 0xffff_ffff_ffff_ffffn)
			throw new RangeError(`${value} does not fit into 64 bits`);
		const at = this.#reserve(8);
		this.#view.setBigUint64(at, value);
	}

	raw(value: Uint8Array): void {
		const at = this.#reserve(value.length);
		this.#bytes.set(value, at);
	}

	/** UTF-8 with a terminating zero, which the text itself cannot have. */
	text(value: string): void {
		if (value.length <= SHORT && this.#ascii(value)) return;
		checkText(value);
		const size = Buffer.byteLength(value);
		const at = this.#reserve(size + 1);
		this.#bytes.write(value, at, "utf8");
		this.#bytes[at + size] = 0;
	}

	/** Writes a text of ASCII characters: names, of which each rule has a dozen. False, and nothing, for other texts. */
	#ascii(value: string): boolean {
		const at = this.#reserve(value.length + 1);
		for (let index = 0; index < value.length; index++) {
			const code = value.charCodeAt(index);
			if (code > 0x7f || code === 0) {
				this.#length = at;
				return false;
			}
			this.#bytes[at + index] = code;
		}
		this.#bytes[at + value.length] = 0;
		return true;
	}

	/** May replace the buffer: call it before you use `#bytes`. */
	#reserve(size: number): number {
		const at = this.#length;
		const needed = at + size;
		if (needed > this.#bytes.length) {
			const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
			larger.set(this.#bytes.subarray(0, at));
			this.#bytes = larger;
			this.#view = viewOf(larger);
		}
		this.#length = needed;
		return at;
	}
}

/** Throws RangeError. */
export function checkWhole(value: number, least: number, most: number): void {
	if (!Number.isInteger(value) || value < least || value > most) {
		throw new RangeError(`${value} is not a whole number from ${least} to ${most}`);
	}
}

/** Throws RangeError for a text that the kernel or a program would read as another one. */
export function checkText(value: string): void {
	if (value.includes("\0") || !value.isWellFormed()) {
		throw new RangeError(`${JSON.stringify(value)} has a zero or half a character in it`);
	}
}

function viewOf({ buffer, byteOffset, byteLength }: Buffer): DataView {
	return new DataView(buffer, byteOffset, byteLength);
}
