/**
 * How to walk over each IPv6 next header, as a table for the program. The walk takes the same steps for every header,
 * so the verifier, which explores each branch separately, has only one path per header.
 */

import { struct, type Value, type View, view } from "@l3dsr/bpf";
import { EXTENSION_HEADER } from "@l3dsr/packet";
import type { Packet } from "./packet.ts";

/** `size = ((length & lengthMask) + more) << shift`; the mask clears a field that the header does not have. */
const STEP = struct("step", {
	/** STEP_FLAG bits; 0: not an extension header. */
	flags: "u8",
	lengthMask: "u8",
	more: "u8",
	shift: "u8",
	segmentsLeftMask: "u8",
	_pad: "u8",
	fragmentMask: "be16",
});

export const STEP_FLAG = {
	walked: 1,
	/** Four bytes are read, otherwise two. (The value is that number minus two.) */
	four: 2,
	/** `-p` stops here; only the rewrite looks at what follows. */
	stops: 4,
} as const;

const { walked, four, stops } = STEP_FLAG;

type Step = Readonly<Record<Exclude<keyof typeof STEP.fields, "_pad">, number>>;

/** The length is in units of eight bytes and does not count the first. */
const usual: Step = {
	flags: walked,
	lengthMask: 0xff,
	more: 1,
	shift: 3,
	segmentsLeftMask: 0,
	fragmentMask: 0,
};

/** ipv6_find_hdr in the kernel walks over the first five. */
const STEPS: Readonly<Record<number, Step>> = {
	[EXTENSION_HEADER.hopByHop]: usual,
	[EXTENSION_HEADER.destinationOptions]: usual,
	[EXTENSION_HEADER.routing]: { ...usual, flags: walked | four, segmentsLeftMask: 0xff },
	// The length is in units of four bytes and does not count the first two.
	[EXTENSION_HEADER.authentication]: { ...usual, more: 2, shift: 2 },
	// Eight bytes; the upper 13 bits of its field are the offset.
	[EXTENSION_HEADER.fragment]: { ...usual, flags: walked | four, lengthMask: 0, fragmentMask: 0xfff8 },
	[EXTENSION_HEADER.mobility]: { ...usual, flags: walked | stops },
	[EXTENSION_HEADER.hip]: { ...usual, flags: walked | stops },
	[EXTENSION_HEADER.shim6]: { ...usual, flags: walked | stops },
};

/** The step over the header `number` (0–255), in the register of `pointer`. */
export function findStep(
	{ p, maps }: Packet,
	number: Value,
): { pointer: Value; step: View<typeof STEP.fields> } {
	const pointer = p.mapValue(maps.steps.map, maps.steps.offset);
	using offset = p.copy(number, "offset").lsh(Math.log2(STEP.bytes));
	pointer.add(offset);
	return { pointer, step: view(pointer, STEP) };
}

/** Size of the table in bytes. */
export const STEPS_BYTES = 256 * STEP.bytes;

/** The table: one entry for each number. */
export function encodeSteps(): Uint8Array {
	const table = new Uint8Array(STEPS_BYTES);
	for (const [number, step] of Object.entries(STEPS))
		table.set(STEP.encode(step), Number(number) * STEP.bytes);
	return table;
}
