/** Are two packets the same for their receiver? Pure. */
import { parsePacket } from "@l3dsr/packet";

/** Byte for byte, except for checksums of zero, which have two representations: both verify. */
export function samePacket(a: Uint8Array, b: Uint8Array): boolean {
	if (a.length !== b.length) return false;
	let checksums: readonly number[] | undefined;
	for (let index = 0; index < a.length; index++) {
		if (a[index] === b[index]) continue;
		checksums ??= checksumOffsets(a);
		const checksum = checksums.find((offset) => index === offset || index === offset + 1);
		if (checksum === undefined) return false;
		const [x, y] = [wordAt(a, checksum), wordAt(b, checksum)];
		if (!((x === 0 && y === 0xffff) || (x === 0xffff && y === 0))) return false;
	}
	return true;
}

function checksumOffsets(bytes: Uint8Array): readonly number[] {
	const packet = parsePacket(bytes);
	if (typeof packet === "string") return [];
	const { transport, family } = packet;
	const header = family === "ipv4" ? [10] : [];
	return transport?.checksumOffset === undefined ? header : [...header, transport.checksumOffset];
}

function wordAt(bytes: Uint8Array, offset: number): number {
	return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
}
