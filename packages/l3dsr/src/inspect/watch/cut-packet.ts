/** Watchers only get the start of a packet, with its headers. */

/** Pads the packet with zeros to the length in its header, for code that only reads headers. */
export function asLongAsItSays(bytes: Uint8Array): Uint8Array {
	const word = (at: number) => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
	const length = (bytes[0] ?? 0) >> 4 === 4 ? word(2) : 40 + word(4);
	if (length <= bytes.length) return bytes;
	const whole = new Uint8Array(length);
	whole.set(bytes);
	return whole;
}
