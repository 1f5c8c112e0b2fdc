/** The entry point of `@l3dsr/bpf`: eBPF from TypeScript. It knows nothing of L3DSR. */

export { type BpfRefusal, probeBpfAccess } from "./access.ts";
export * as asm from "./asm/index.ts";
export type { TcDirection } from "./attach/attach-type.ts";
export {
	type ClsactAttached,
	type ClsactOptions,
	clsactEgress,
	clsactIngress,
	removeEmptyClsact,
} from "./attach/clsact.ts";
export { ExitLink, PROGRAM_EXIT } from "./attach/exit-link.ts";
export type { AttachableProgram, Attached, Hook } from "./attach/hook.ts";
export { interfacesWithIngress } from "./attach/qdisc.ts";
export {
	type TcxAttached,
	TcxList,
	type TcxOptions,
	tcxEgress,
	tcxIngress,
} from "./attach/tcx.ts";
export { isTcxEmpty } from "./attach/tcx-empty.ts";
export { TcxLink, type TcxLinkOptions } from "./attach/tcx-link.ts";
export { xdpGeneric, xdpNative } from "./attach/xdp.ts";
export { BPF_MAP_INFO, BPF_PROG_INFO } from "./bpf-syscall.ts";
export * from "./builder/index.ts";
export { type Codec, U32, U64 } from "./codec.ts";
export { BpfError, type BpfErrorCode, type BpfErrorOptions } from "./error.ts";
export {
	describeFeature,
	FEATURE_NAMES,
	type FeatureAnswer,
	type FeatureName,
	LARGEST_ARRAY_VALUE_BEFORE_6_0,
	probeFeature,
	requireFeature,
} from "./feature.ts";
export {
	type KernelField,
	type KernelFieldName,
	type KernelTypeQuestion,
	type KernelTypes,
	lookUpKernelTypes,
} from "./kernel-types.ts";
export { arrayKey, BpfMap, type MapInfo, perCpuValues, sumPerCpu, type UpdateMode } from "./map.ts";
export { type MapId, mapIdOf, type ProgramId, programIdOf } from "./object-id.ts";
export { type LoadOptions, Program, type ProgramInfo } from "./program.ts";
export { RingBuffer, recordBytes, ringBufferSpec } from "./ring-buffer.ts";
export * from "./spec.ts";
export { Struct, type StructFields, type StructFieldType, struct } from "./struct.ts";
export {
	BPF_F_TEST,
	type LiveFramesInput,
	sendLiveFrames,
	type TestRunInput,
	type TestRunOutput,
	testRun,
} from "./test-run.ts";
export {
	type MapDeclaration,
	mapSpec,
	type PerCpuMapType,
	ProgramArray,
	TypedMap,
	type TypedMapSpec,
} from "./typed-map.ts";
export { parseVerifierLog, VerifierError, type VerifierReport } from "./verifier-log.ts";
