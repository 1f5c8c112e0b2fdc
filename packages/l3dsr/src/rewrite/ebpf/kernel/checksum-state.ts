/** Whether the running kernel lets a program read the state and place of a packet's checksum. */
import { BpfError, lookUpKernelTypes, Program, ProgramBuilder, SKB } from "@l3dsr/bpf";
import { LinuxError } from "@l3dsr/linux";
import type { ChecksumState } from "../../../programs/packet.ts";

const CAST = "bpf_cast_to_kern_ctx";
const IP_SUMMED = { structure: "sk_buff", field: "ip_summed" } as const;

export type ChecksumStateAnswer =
	| { readonly answer: "yes"; readonly state: ChecksumState }
	/** `reason`: what the kernel lacks, or why it could not be asked. */
	| { readonly answer: "no" | "unknown"; readonly reason: string };

let known: ChecksumStateAnswer | undefined;

/** Asks the kernel, once per process unless the answer is unknown. Takes a millisecond. Never throws. */
export function probeChecksumState(): ChecksumStateAnswer {
	if (known !== undefined) return known;
	const answer = ask();
	if (answer.answer !== "unknown") known = answer;
	return answer;
}

function ask(): ChecksumStateAnswer {
	try {
		const {
			functions: [id],
			fields: [ipSummed],
		} = lookUpKernelTypes({ functions: [CAST], fields: [IP_SUMMED] });
		if (id === undefined) return { answer: "no", reason: `the kernel has no ${CAST} (Linux >= 6.2)` };
		if (ipSummed === undefined) return { answer: "no", reason: "the kernel's sk_buff has no ip_summed" };
		const state: ChecksumState = { cast: { name: CAST, id }, ipSummed };
		tryState(state);
		return { answer: "yes", state };
	} catch (error) {
		if (error instanceof BpfError) return { answer: "no", reason: error.message };
		if (error instanceof LinuxError) return { answer: "unknown", reason: error.message };
		throw error;
	}
}

/** What writes the transport checksum at tc, as reports show it, and why the program itself does not. */
export interface TcChecksum {
	readonly by: "program" | "helper" | "unknown";
	readonly why?: string;
}

/** For programs compiled from now on. */
export function tcChecksum(): TcChecksum {
	const known = probeChecksumState();
	if (known.answer === "yes") return { by: "program" };
	return { by: known.answer === "no" ? "helper" : "unknown", why: known.reason };
}

/** Without the JIT, the kernel refuses programs that call kernel functions. Throws VerifierError then. */
function tryState({ cast, ipSummed }: ChecksumState): void {
	const p = new ProgramBuilder({ name: "l3dsr_probe", type: "BPF_PROG_TYPE_SCHED_CLS" });
	using skb = p.callKernelFunction(cast, [p.context(SKB)], "sk_buff");
	p.exit(p.loadKernelField(skb, ipSummed, "ip_summed"));
	using _ = Program.load(p.build());
}
