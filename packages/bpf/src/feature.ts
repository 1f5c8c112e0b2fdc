/**
 * Probes what the running kernel supports. Distributions backport features, so version numbers say little.
 *
 * The answer is yes, no (with the first mainline release that has it), or unknown if the attempt failed for
 * another reason (no permission, no memory). Only yes and no are cached.
 */

import { ERRNO, errnoName, kernelRelease, SyscallError } from "@l3dsr/linux";
import { add, call, exit, HELPER_FUNCTIONS, type Instruction, jlt, mov } from "./asm/index.ts";
import { BPF_ATTACH_TYPE } from "./attach/attach-type.ts";
import { bpf } from "./bpf-syscall.ts";
import { BpfError } from "./error.ts";
import { type KernelTypeQuestion, type KernelTypes, lookUpKernelTypes } from "./kernel-types.ts";
import { BpfMap } from "./map.ts";
import { lookupBatch } from "./map-batch.ts";
import { Program } from "./program.ts";
import { BPF_MAP_FLAG, type MapSpec, type ProgramTypeName } from "./spec.ts";
import { BPF_F_TEST, testRun } from "./test-run.ts";
import { VerifierError } from "./verifier-log.ts";

export type FeatureAnswer =
	| { readonly answer: "yes" }
	/** `needs`: the first mainline release that has it, such as `6.6`. */
	| { readonly answer: "no"; readonly needs: string }
	| { readonly answer: "unknown"; readonly reason: string };

interface Feature {
	/** The name as the subject of a sentence: `tcx ingress`. */
	readonly what: string;
	readonly needs: string;
	/** Returns true or false if the answer is certain; otherwise throws, or returns an errno name. */
	readonly ask: () => boolean | string;
}

const ARRAY: MapSpec = {
	name: "probe",
	type: "BPF_MAP_TYPE_ARRAY",
	keySize: 4,
	valueSize: 8,
	maxEntries: 1,
};

/**
 * In bytes, for kernels without `largeArrayValues`: KMALLOC_MAX_SIZE with pages of 4 kB
 * (kernel/bpf/arraymap.c).
 */
export const LARGEST_ARRAY_VALUE_BEFORE_6_0 = 4 * 1024 * 1024;

/** `BPF_F_PSEUDO_HDR | BPF_F_IPV6` of bpf_l4_csum_replace. */
const CSUM_FLAGS = (1 << 4) | (1 << 7);
/** Offset of the checksum in the frame below: after Ethernet and IPv6, byte 16 of TCP. */
const CSUM_OFFSET = 14 + 40 + 16;

/** Ethernet, IPv6 and an empty TCP header between two documentation addresses. */
const IPV6_FRAME = Buffer.concat([
	Buffer.from("00000000000000000000000086dd", "hex"),
	Buffer.from("6000000000140640", "hex"),
	Buffer.from("20010db800000000000000000000000120010db8000000000000000000000002", "hex"),
	Buffer.alloc(20),
]);

const FEATURES = {
	tcx: {
		what: "tcx ingress",
		needs: "6.6",
		ask: () => {
			// Interface 1 is the loopback, which every namespace has.
			const { result } = bpf("BPF_PROG_QUERY", {
				target_ifindex: 1,
				attach_type: BPF_ATTACH_TYPE.BPF_TCX_INGRESS,
			});
			return (
				result >= 0 || result === -ERRNO.ENOENT || (result === -ERRNO.EINVAL ? false : errnoName(-result))
			);
		},
	},
	csumReplaceIpv6: {
		what: "bpf_l4_csum_replace with BPF_F_IPV6",
		needs: "6.16",
		ask: () => {
			// The helper checks its flags when it runs, not when the program is loaded.
			const instructions = [
				mov.imm(2, CSUM_OFFSET),
				mov.imm(3, 0),
				mov.imm(4, 0),
				mov.imm(5, CSUM_FLAGS),
				call(HELPER_FUNCTIONS.bpf_l4_csum_replace.id),
				exit(),
			];
			using program = loadProbe("BPF_PROG_TYPE_SCHED_CLS", instructions);
			return testRun(program, { data: IPV6_FRAME }).verdict === 0;
		},
	},
	testRunChecksumComplete: {
		what: "a test-run with BPF_F_TEST_SKB_CHECKSUM_COMPLETE",
		needs: "6.11",
		ask: () => {
			using program = loadProbe("BPF_PROG_TYPE_SCHED_CLS", [mov.imm(0, 0), exit()]);
			const flags = BPF_F_TEST.BPF_F_TEST_SKB_CHECKSUM_COMPLETE;
			return succeeds(() => testRun(program, { data: IPV6_FRAME, flags }));
		},
	},
	testRunLiveFrames: {
		what: "a test-run with BPF_F_TEST_XDP_LIVE_FRAMES",
		needs: "5.18",
		ask: () => {
			const drop = 1;
			using program = loadProbe("BPF_PROG_TYPE_XDP", [mov.imm(0, drop), exit()]);
			const flags = BPF_F_TEST.BPF_F_TEST_XDP_LIVE_FRAMES;
			const { result } = bpf("BPF_PROG_TEST_RUN", {
				prog_fd: program.fd,
				data_size_in: IPV6_FRAME.length,
				data_in: IPV6_FRAME,
				repeat: 1,
				flags,
			});
			return result >= 0 || (result === -ERRNO.EINVAL ? false : errnoName(-result));
		},
	},
	boundedLoops: {
		what: "a loop in a program",
		needs: "5.3",
		ask: () => {
			const loop = [mov.imm(0, 0), { ...add.imm(0, 1), symbol: "again" }, jlt.imm(0, 4, "again"), exit()];
			return loads("BPF_PROG_TYPE_SCHED_CLS", loop);
		},
	},
	coarseClock: {
		what: "the clock of the last timer tick (bpf_ktime_get_coarse_ns)",
		needs: "5.11",
		ask: () =>
			loads("BPF_PROG_TYPE_SCHED_CLS", [
				call(HELPER_FUNCTIONS.bpf_ktime_get_coarse_ns.id),
				mov.imm(0, 0),
				exit(),
			]),
	},
	mmapableArrays: {
		what: "an array map in shared memory",
		needs: "5.5",
		ask: () =>
			succeeds(() => BpfMap.create({ ...ARRAY, flags: BPF_MAP_FLAG.BPF_F_MMAPABLE })[Symbol.dispose]()),
	},
	largeArrayValues: {
		what: "an array map with a value of more than 4 MB",
		needs: "6.0",
		ask: () =>
			succeeds(
				() => BpfMap.create({ ...ARRAY, valueSize: LARGEST_ARRAY_VALUE_BEFORE_6_0 + 8 })[Symbol.dispose](),
				ERRNO.E2BIG,
			),
	},
	mapBatch: {
		what: "reading many elements of a map in one call",
		needs: "5.6",
		ask: () => {
			using map = BpfMap.create(ARRAY);
			return lookupBatch(map) !== undefined;
		},
	},
	kernelTypes: {
		what: "a look-up of the kernel's functions and fields",
		needs: "5.17",
		ask: () => {
			const found = findsTypes({ fields: [{ structure: "sk_buff", field: "len" }] });
			return found?.fields[0] !== undefined;
		},
	},
	kernelContext: {
		what: "bpf_cast_to_kern_ctx, the kernel's own packet from a program's context",
		needs: "6.2",
		ask: () => {
			const found = findsTypes({ functions: ["bpf_cast_to_kern_ctx"] });
			return found?.functions[0] !== undefined;
		},
	},
	bindMap: {
		what: "binding a map to a program",
		needs: "5.10",
		ask: () => {
			// A kernel that knows the command looks for the program first.
			const { result } = bpf("BPF_PROG_BIND_MAP", { prog_fd: 0x7fff_ffff });
			return result === -ERRNO.EBADF || (result === -ERRNO.EINVAL ? false : errnoName(-result));
		},
	},
} as const satisfies Record<string, Feature>;

export type FeatureName = keyof typeof FEATURES;
export const FEATURE_NAMES = Object.keys(FEATURES) as readonly FeatureName[]; // keys of the literal above

const known = new Map<FeatureName, FeatureAnswer>();

/** Probes the kernel, once per process unless the answer is unknown. Never throws. */
export function probeFeature(name: FeatureName): FeatureAnswer {
	const remembered = known.get(name);
	if (remembered !== undefined) return remembered;
	const answer = ask(FEATURES[name]);
	if (answer.answer !== "unknown") known.set(name, answer);
	return answer;
}

/** The feature's name for tables and messages: `tcx ingress`. */
export function describeFeature(name: FeatureName): string {
	return FEATURES[name].what;
}

/**
 * Throws BpfError (FEATURE) (`DOING: tcx ingress needs Linux >= 6.6, running 6.1.0`) if the kernel certainly
 * lacks the feature. If the answer is unknown, the caller's attempt may still work, or fails with its own
 * reason.
 */
export function requireFeature(name: FeatureName, doing: string, hint?: string): void {
	const answer = probeFeature(name);
	if (answer.answer !== "no") return;
	throw new BpfError(
		"FEATURE",
		`${doing}: ${FEATURES[name].what} needs Linux >= ${answer.needs}, running ${kernelRelease()}`,
		{ hint },
	);
}

function ask(feature: Feature): FeatureAnswer {
	try {
		const answer = feature.ask();
		if (answer === true) return { answer: "yes" };
		if (answer === false) return { answer: "no", needs: feature.needs };
		return { answer: "unknown", reason: answer };
	} catch (error) {
		return { answer: "unknown", reason: error instanceof Error ? error.message : String(error) };
	}
}

function loadProbe(type: ProgramTypeName, instructions: readonly Instruction[]): Program {
	return Program.load({ name: "probe", type, license: "GPL", maps: [], instructions });
}

function loads(type: ProgramTypeName, instructions: readonly Instruction[]): boolean {
	try {
		loadProbe(type, instructions)[Symbol.dispose]();
		return true;
	} catch (error) {
		if (error instanceof VerifierError) return false;
		throw error;
	}
}

/** Undefined if the kernel cannot look up types. */
function findsTypes(question: KernelTypeQuestion): KernelTypes | undefined {
	try {
		return lookUpKernelTypes(question);
	} catch (error) {
		if (error instanceof BpfError && error.code === "FEATURE") return undefined;
		throw error;
	}
}

/**
 * Returns false if the attempt fails with `refusal` (default EINVAL), which means that the kernel lacks the
 * feature. Other failures are thrown.
 */
function succeeds(attempt: () => unknown, refusal: number = ERRNO.EINVAL): boolean {
	try {
		attempt();
		return true;
	} catch (error) {
		if (error instanceof SyscallError && error.errno === refusal) return false;
		throw error;
	}
}
