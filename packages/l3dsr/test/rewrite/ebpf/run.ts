/** Runs packets through a compiled program in the kernel and reads its counters. */

import { arrayKey, BPF_F_TEST, Program, sumPerCpu, testRun } from "@l3dsr/bpf";
import type { Malformed } from "@l3dsr/packet";
import type { Rule } from "../../../src/model/rule.ts";
import { MALFORMED_SLOT } from "../../../src/programs/count.ts";
import { compileProgram } from "../../../src/rewrite/ebpf/compile/compile.ts";
import { MAP } from "../../../src/rewrite/ebpf/compile/identity.ts";
import { FIRST_RULE_SLOT, type InterfaceRules } from "../../../src/rewrite/ebpf/compile/interface-rules.ts";
import type { CompileTarget } from "../../../src/rewrite/ebpf/compile/target.ts";
import { probeChecksumState } from "../../../src/rewrite/ebpf/kernel/checksum-state.ts";
import type { PacketContext } from "../../../src/rewrite/oracle/oracle.ts";
import { ethernet } from "../../packets/build.ts";

const known = probeChecksumState();

/** The target for kernels before 6.2, or without BTF. */
export const HELPER_TC: CompileTarget = { hook: "tc", linkHeaderBytes: 14, ipv6ChecksumFlag: true };
/** The target for this kernel, with its information on a packet's checksum, if it has it. */
export const TC: CompileTarget = {
	...HELPER_TC,
	...(known.answer === "yes" ? { checksumState: known.state } : {}),
};
/** The same for every kernel, for listings; no kernel loads it. */
export const LISTED_TC: CompileTarget = {
	...HELPER_TC,
	checksumState: {
		cast: { name: "bpf_cast_to_kern_ctx", id: 12345 },
		ipSummed: { offset: 128, bytes: 1, shift: 5, bits: 2, isSigned: false },
	},
};
/** The target for kernels before 6.16. */
export const OLD_TC: CompileTarget = { hook: "tc", linkHeaderBytes: 14, ipv6ChecksumFlag: false };
export const XDP: CompileTarget = { hook: "xdp", linkHeaderBytes: 14, ipv6ChecksumFlag: false };

export const VERDICT = { tc: 0xffffffff, xdp: 2 } as const;

/** A test run uses the loopback device, which has this address: frames to it are for this host. */
export const OWN_MAC = "00:00:00:00:00:00";

/** Size of struct __sk_buff in bytes, and the offset of its mark. */
const SK_BUFF_BYTES = 192;
const MARK_OFFSET = 8;

export interface Counted {
	/** One for each rule, in order. */
	readonly rules: readonly { readonly packets: bigint; readonly bytes: bigint }[];
	readonly malformed: Readonly<Record<Malformed, bigint>>;
}

/** A loaded program for these rules; slots in the order of the rules. */
export class LoadedRules implements Disposable {
	readonly #program: Program;
	readonly #rules: InterfaceRules;
	readonly #target: CompileTarget;

	constructor(rules: readonly Rule[], context: Pick<PacketContext, "local">, target: CompileTarget) {
		this.#target = target;
		this.#rules = {
			rules: rules.map((rule, index) => ({ rule, ordinal: index, slot: FIRST_RULE_SLOT + index })),
			local: context.local,
		};
		this.#program = Program.load(compileProgram(this.#rules, target, FIRST_RULE_SLOT + rules.length));
	}

	get program(): Program {
		return this.#program;
	}

	/** `packet` from its network header; with `summed`, as from a network card that has summed it. */
	run(packet: Uint8Array, context: PacketContext, summed: boolean): Uint8Array {
		const frame = ethernet(
			{
				destination: OWN_MAC,
				...(context.sourceMac === undefined ? {} : { source: macText(context.sourceMac) }),
			},
			packet,
		);
		const sk = new Uint8Array(SK_BUFF_BYTES);
		new DataView(sk.buffer).setUint32(MARK_OFFSET, context.mark, true);
		const { hook } = this.#target;
		const result = testRun(this.#program, {
			data: frame,
			...(hook === "tc" ? { context: sk } : {}),
			...(summed ? { flags: BPF_F_TEST.BPF_F_TEST_SKB_CHECKSUM_COMPLETE } : {}),
		});
		if (result.verdict !== VERDICT[hook]) throw new Error(`verdict ${result.verdict}`);
		return result.data.slice(14);
	}

	/** The counters so far. */
	counted(): Counted {
		const read = (slot: number) => {
			const map = this.#program.map(MAP.counters);
			const value = map.lookup(arrayKey(slot));
			if (value === undefined) throw new Error(`no slot ${slot}`);
			const [packets = 0n, bytes = 0n] = sumPerCpu(map, value);
			return { packets, bytes };
		};
		return {
			rules: this.#rules.rules.map(({ slot }) => read(slot)),
			malformed: {
				"transport-cut": read(MALFORMED_SLOT["transport-cut"]).packets,
				"extension-chain-cut": read(MALFORMED_SLOT["extension-chain-cut"]).packets,
				"extension-chain-long": read(MALFORMED_SLOT["extension-chain-long"]).packets,
			},
		};
	}

	[Symbol.dispose](): void {
		this.#program[Symbol.dispose]();
	}
}

function macText(bytes: readonly number[]): string {
	return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
