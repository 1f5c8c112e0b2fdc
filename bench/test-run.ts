/**
 * Nanoseconds per packet of each program shape in the kernel's test run, less those of an empty program.
 *
 * A test run passes the program the packet that the last run left, so from the second run on the destination
 * is already the VIP. The programs do not branch on the destination: the whole rewrite is measured, with a
 * difference of zero.
 */

import { asm, BPF_F_TEST, Program, type ProgramSpec, probeFeature, testRun } from "@l3dsr/bpf";
import type { Family } from "@l3dsr/packet";
import { PASS } from "../packages/l3dsr/src/programs/packet.ts";
import { compileProgram } from "../packages/l3dsr/src/rewrite/ebpf/compile/compile.ts";
import { FIRST_RULE_SLOT } from "../packages/l3dsr/src/rewrite/ebpf/compile/interface-rules.ts";
import type { CompileTarget } from "../packages/l3dsr/src/rewrite/ebpf/compile/target.ts";
import { probeChecksumState } from "../packages/l3dsr/src/rewrite/ebpf/kernel/checksum-state.ts";
import { type Candidate, difference, interleave, type Series, seriesOf } from "./measure.ts";
import { Owner } from "./owner.ts";
import { frame, MOST_VIPS, OTHER_DSCP, slotted, type Transport, vipRules } from "./packets.ts";

const { exit, mov } = asm;

const known = probeChecksumState();

/** Compile targets on this kernel; `helper`: tc on a kernel that does not report the state of a checksum. */
export const TARGET = {
	tc: {
		hook: "tc",
		linkHeaderBytes: 14,
		ipv6ChecksumFlag: true,
		...(known.answer === "yes" ? { checksumState: known.state } : {}),
	},
	helper: { hook: "tc", linkHeaderBytes: 14, ipv6ChecksumFlag: true },
	xdp: { hook: "xdp", linkHeaderBytes: 14, ipv6ChecksumFlag: false },
} as const satisfies Record<string, CompileTarget>;

/** A test run uses the loopback device: frames to its address are for this host. */
const OWN_MAC = "00:00:00:00:00:00";

const HOOKS = ["tc", "xdp"] as const;
type HookKind = (typeof HOOKS)[number];

export const VIP_COUNTS = [1, 8, MOST_VIPS] as const;

interface Shape {
	readonly name: string;
	readonly family: Family;
	readonly transport: Transport;
	readonly dscp: number;
	/** As a network card passes it that has summed the whole packet (CHECKSUM_COMPLETE): only at tc. */
	readonly summed?: true;
}

export const SHAPES: readonly Shape[] = [
	{ name: "no match, IPv4", family: "ipv4", transport: "tcp", dscp: OTHER_DSCP },
	{ name: "no match, IPv6", family: "ipv6", transport: "tcp", dscp: OTHER_DSCP },
	{ name: "IPv4 TCP", family: "ipv4", transport: "tcp", dscp: 1 },
	{ name: "IPv4 UDP", family: "ipv4", transport: "udp", dscp: 1 },
	{ name: "IPv6 TCP", family: "ipv6", transport: "tcp", dscp: 1 },
	{ name: "IPv6 UDP", family: "ipv6", transport: "udp", dscp: 1 },
	{ name: "IPv4 TCP, CHECKSUM_COMPLETE", family: "ipv4", transport: "tcp", dscp: 1, summed: true },
	{ name: "IPv6 TCP, CHECKSUM_COMPLETE", family: "ipv6", transport: "tcp", dscp: 1, summed: true },
];

/** A program that passes every packet on. */
export function emptySpec(hook: HookKind): ProgramSpec {
	return {
		name: "bench_empty",
		type: hook === "tc" ? "BPF_PROG_TYPE_SCHED_CLS" : "BPF_PROG_TYPE_XDP",
		license: "Dual BSD/GPL",
		maps: [],
		instructions: [{ ...mov.imm(0, PASS[hook]), comment: "let the packet go on" }, exit()],
	};
}

/** l3dsr's program for that many VIPs of both families. */
export function vipSpec(target: CompileTarget, vips: number): ProgramSpec {
	const rules = slotted([...vipRules("ipv4", vips), ...vipRules("ipv6", vips)]);
	return compileProgram({ rules, local: [] }, target, FIRST_RULE_SLOT + rules.length);
}

export interface TestRunFigure {
	readonly hook: HookKind;
	readonly vips: number;
	readonly shape: string;
	readonly match: boolean;
	readonly summed: boolean;
	/** Nanoseconds per packet, less those of the empty program in the same round. */
	readonly net: Series;
}

/** The number of packets in a sample, and of samples in a round. */
export interface TestRunEffort {
	readonly rounds: number;
	readonly tc: { readonly samples: number; readonly packets: number };
	readonly xdp: { readonly samples: number; readonly packets: number };
}

/** Needs root but no network namespace: no interface is involved. */
export async function measureTestRun(
	effort: TestRunEffort,
	shapes: readonly Shape[] = SHAPES,
): Promise<TestRunFigure[]> {
	using programs = new Owner();
	const load = (spec: ProgramSpec) => programs.use(Program.load(spec));
	const figures: TestRunFigure[] = [];
	for (const hook of HOOKS) {
		const { samples, packets } = effort[hook];
		const empty = load(emptySpec(hook));
		const loaded = VIP_COUNTS.map((vips) => ({ vips, program: load(vipSpec(TARGET[hook], vips)) }));
		for (const { name: shape, family, transport, dscp, summed = false } of shapes) {
			if (summed && (hook === "xdp" || probeFeature("testRunChecksumComplete").answer !== "yes")) continue;
			const flags = summed ? BPF_F_TEST.BPF_F_TEST_SKB_CHECKSUM_COMPLETE : 0;
			const data = frame(family, transport, dscp, { destination: OWN_MAC });
			const candidate = (name: string, program: Program): Candidate => ({
				name,
				measure: () => SAMPLE[hook](program, data, packets, flags),
			});
			const measured = await interleave(
				[candidate("empty", empty), ...loaded.map(({ vips, program }) => candidate(String(vips), program))],
				{ rounds: effort.rounds, samples },
			);
			const base = seriesOf(measured, "empty");
			for (const { vips } of loaded) {
				const net = difference(seriesOf(measured, String(vips)), base);
				figures.push({ hook, vips, shape, match: dscp !== OTHER_DSCP, summed, net });
			}
		}
	}
	return figures;
}

/** Nanoseconds per packet of one sample. */
const SAMPLE: Readonly<
	Record<HookKind, (program: Program, data: Uint8Array, repeat: number, flags: number) => number>
> = {
	// The kernel's own figure is in whole nanoseconds. A call costs so little that our figure, over short
	// samples without interrupts, is more precise.
	tc(program, data, repeat, flags) {
		const start = process.hrtime.bigint();
		testRun(program, { data, repeat, flags });
		return Number(process.hrtime.bigint() - start) / repeat;
	},
	// Each call rewrites the kernel's XDP dispatcher, which takes milliseconds, so use the kernel's figure.
	xdp: (program, data, repeat) => testRun(program, { data, repeat }).durationNs,
};
