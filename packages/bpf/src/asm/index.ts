/** The assembler: encodes, decodes and lists instructions, which are values. */
export * from "./alu.ts";
export { decodeInstructions } from "./decode.ts";
export {
	type EncodedInstructions,
	encodeInstructions,
	encodeWithoutMaps,
	labelOffsets,
	resolveLabels,
	withDescriptors,
} from "./encode.ts";
export * from "./helper-function.ts";
export {
	type Instruction,
	type MapReference,
	type Register,
	SLOT_BYTES,
	slotsOf,
} from "./instruction.ts";
export * from "./jump.ts";
export { formatListing } from "./listing.ts";
export * from "./memory.ts";
export { formatInstruction } from "./pseudo-c.ts";
