/**
 * A copy of a running program with its own counter maps: the kernel can show what the program does to a packet
 * (BPF_PROG_TEST_RUN) without changing the real counters.
 *
 * The copy is compiled from the rules that the running program carries. The kernel tells whether both have the same
 * instructions: it hashes every program's instructions, without map numbers.
 */
import { Program, SKB, testRun } from "@l3dsr/bpf";
import { L3dsrError } from "../../../errors.ts";
import type { Counters } from "../../../model/rule.ts";
import { compileProgram } from "../compile/compile.ts";
import { MAP } from "../compile/identity.ts";
import { type Attachment, PLACES } from "./attachment.ts";
import { readCounters } from "./counters.ts";
import { compileTarget } from "./interface-change.ts";

/** A test run always has this link-layer header. */
const ETHERNET_BYTES = 14;
const ETHER_TYPE = { 4: [0x08, 0x00], 6: [0x86, 0xdd] } as const;
/**
 * As the receiver: a test run uses the loopback device, which has this address, so the frame is for this host. As the
 * sender, if it is unknown: no NIC has it.
 */
const NO_MAC = [0, 0, 0, 0, 0, 0] as const;

export class ProgramReplica implements Disposable {
	/** Id of the running program. */
	readonly id: number;
	/** `tcx ingress of eth0`. */
	readonly place: string;
	/** True if the copy has the same instructions as the running program. */
	readonly exact: boolean;
	readonly #program: Program;
	readonly #attachment: Attachment;

	private constructor(attachment: Attachment, program: Program, exact: boolean) {
		this.id = attachment.program.info.id;
		this.place = `${PLACES[attachment.hook].name} of ${attachment.interface.name}`;
		this.exact = exact;
		this.#program = program;
		this.#attachment = attachment;
	}

	/** Throws L3dsrError (KERNEL_*). Keep `attachment` open while the copy is used. */
	static of(attachment: Attachment): ProgramReplica {
		const { interface: on, hook, rules, counters, program: running } = attachment;
		const target = compileTarget(on, rules.rules, hook);
		const slots = counters.info.maxEntries;
		const program = Program.load(compileProgram(rules, target, slots));
		const exact = program.info.tag === running.info.tag;
		if (target.linkHeaderBytes === ETHERNET_BYTES) return new ProgramReplica(attachment, program, exact);
		// The device has no link-layer header, but a test run has, so the packet begins after it.
		program[Symbol.dispose]();
		const behindHeader = { ...target, linkHeaderBytes: ETHERNET_BYTES } as const;
		return new ProgramReplica(attachment, Program.load(compileProgram(rules, behindHeader, slots)), exact);
	}

	/**
	 * What becomes of a packet, given from its network header. Throws L3dsrError (KERNEL_SYSCALL) if the kernel does
	 * not accept it for a test run, for example because it is larger than the kernel's buffers.
	 */
	run(packet: Uint8Array, { mark, sourceMac }: { mark: number; sourceMac?: readonly number[] }): Uint8Array {
		const type = (packet[0] ?? 0) >> 4 === 6 ? ETHER_TYPE[6] : ETHER_TYPE[4];
		const data = new Uint8Array(ETHERNET_BYTES + packet.length);
		data.set([...NO_MAC, ...(sourceMac ?? NO_MAC), ...type]);
		data.set(packet, ETHERNET_BYTES);
		const tc = PLACES[this.#attachment.hook].program === "tc";
		const result = testRun(this.#program, {
			data,
			...(tc ? { context: SKB.encode({ mark }) } : {}),
		});
		return result.data.slice(ETHERNET_BYTES);
	}

	/** What the copy has counted so far, for each rule of the attachment in order. */
	counted(): readonly Counters[] {
		const maps = { counters: this.#program.map(MAP.counters), base: this.#program.map(MAP.base) };
		const { rules } = this.#attachment.rules;
		const counters = readCounters(
			maps,
			rules.map(({ slot }) => slot),
		);
		return rules.map(({ slot, rule }) => {
			const found = counters.get(slot);
			if (found !== undefined) return found;
			throw new L3dsrError({
				code: "DATAPATH_FOREIGN",
				message: `read the counter of rule -A ${rule.chain} at ${this.place}: it has no slot ${slot}`,
			});
		});
	}

	[Symbol.dispose](): void {
		this.#program[Symbol.dispose]();
	}
}
