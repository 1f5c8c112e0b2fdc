/** The Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3). */

/**
 * The sum of the 16-bit words of `bytes` (network order; an odd last byte is padded with zero), not folded.
 */
export function sumOfWords(bytes: ArrayLike<number>): number {
	let sum = 0;
	for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
	return sum;
}

/** Adds the carries until 16 bits are left. A sum other than zero never becomes zero. */
export function foldSum(sum: number): number {
	let folded = sum;
	while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
	return folded;
}

/**
 * The checksum of bytes whose own checksum field is zero; `more` is the sum of everything else that it
 * covers.
 */
export function internetChecksum(bytes: ArrayLike<number>, more = 0): number {
	return ~foldSum(sumOfWords(bytes) + more) & 0xffff;
}

/**
 * The sum of the pseudo-header of transport checksums; `length` is the length of transport header and data.
 */
export function pseudoHeaderSum(
	source: ArrayLike<number>,
	destination: ArrayLike<number>,
	protocol: number,
	length: number,
): number {
	return sumOfWords(source) + sumOfWords(destination) + protocol + (length & 0xffff) + (length >>> 16);
}

/**
 * The checksum after `before` has become `after` (both of even length, at even offsets in the covered data).
 * Only the difference is applied, so a wrong checksum stays wrong.
 *
 * Of the two representations of zero, the result is 0x0000 and never 0xffff, as with the kernel's
 * csum_fold(csum_add(…)): the extra 0xffff (a ones' complement zero) avoids the only sum that would fold to
 * 0xffff.
 */
export function replaceInChecksum(
	checksum: number,
	before: ArrayLike<number>,
	after: ArrayLike<number>,
): number {
	let sum = (~checksum & 0xffff) + 0xffff + sumOfWords(after);
	for (let i = 0; i < before.length; i += 2) {
		sum += ~(((before[i] ?? 0) << 8) | (before[i + 1] ?? 0)) & 0xffff;
	}
	return ~foldSum(sum) & 0xffff;
}

/**
 * The complement of the ones' complement sum of an address's 32-bit words, as a little-endian machine loads
 * them. Of the two zeros it returns the one that is not 0, so a sum with it is never 0 and no checksum
 * becomes 0.
 */
export function complementOfSum(address: readonly number[]): number {
	const view = new DataView(Uint8Array.from(address).buffer);
	let sum = 0;
	for (let at = 0; at < address.length; at += 4) {
		sum += view.getUint32(at, true);
		if (sum > 0xffff_ffff) sum -= 0xffff_ffff;
	}
	return sum === 0xffff_ffff ? 0xffff_ffff : 0xffff_ffff - sum;
}
