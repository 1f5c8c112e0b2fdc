/** The one entrance of `@l3dsr/bpf`: eBPF from TypeScript, knowing nothing of L3DSR. */

export * as asm from "./asm/index.ts";
export {
	type ClsactAttached,
	type ClsactOptions,
	clsactIngress,
	interfacesWithIngress,
	removeEmptyClsact,
} from "./attach/clsact.ts";
export type { AttachableProgram, Attached, Hook } from "./attach/hook.ts";
export { type TcxAttached, type TcxOptions, tcxIngress } from "./attach/tcx.ts";
export { TcxLink } from "./attach/tcx-link.ts";
export { xdpGeneric, xdpNative } from "./attach/xdp.ts";
export { BPF_MAP_INFO, BPF_PROG_INFO, SK_BUFF, XDP_MD } from "./bpf-syscall.ts";
export * from "./builder/index.ts";
export { BpfError, type BpfErrorCode } from "./error.ts";
export {
	describeFeature,
	FEATURE_NAMES,
	type FeatureAnswer,
	type FeatureName,
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
export { type LoadOptions, Program, type ProgramInfo } from "./program.ts";
export { RingBuffer, recordBytes, ringBufferSpec } from "./ring-buffer.ts";
export * from "./spec.ts";
export {
	BPF_F_TEST,
	type LiveFramesInput,
	sendLiveFrames,
	type TestRunInput,
	type TestRunOutput,
	testRun,
} from "./test-run.ts";
export { parseVerifierLog, VerifierError, type VerifierReport } from "./verifier-log.ts";
