/** The program builder: names, fields, blocks and calls on top of the assembler. */
export type { Case, Comparison } from "./branch.ts";
export type { Argument, KernelFunction } from "./call.ts";
export { SKB, TC_ACT, XDP, XDP_ACTION } from "./context.ts";
export type { Label } from "./emitter.ts";
export * from "./headers.ts";
export type { ByteOrder, ValueKind } from "./kind.ts";
export type { ElementOptions } from "./map-memory.ts";
export type { LoadPlaceOptions } from "./memory.ts";
export { ProgramBuilder, type ProgramOptions } from "./program-builder.ts";
export type { Operand, Placement, Value } from "./value.ts";
export {
	type Field,
	type Fields,
	type Place,
	part,
	type Structure,
	type View,
	view,
	whole,
} from "./view.ts";
