/** One packet after its path through the rules, with the kernel's own result. */

import type { PacketContext } from "../../rewrite/oracle/oracle.ts";
import type { DirectorAnswer } from "./ask-director.ts";
import type { InputPacket } from "./input-packet.ts";
import type { Journey } from "./journey.ts";

/** The kernel's own result for the packet, compared with the oracle. */
export interface KernelRecord {
	readonly datapath: "ebpf" | "nft";
	readonly place: string;
	/** Id of the program, if it ran in one. */
	readonly programId?: number;
	/** The copy has the same instructions as what runs. */
	readonly exact: boolean;
	/** Is it the oracle's packet? `why` says why not, or why the kernel could not be asked. */
	readonly answer: "same" | "different" | "not asked";
	readonly why?: string;
	/** The kernel's packet, in hex, if it differs. */
	readonly bytes?: string;
}

/** The packet's path, and the results of the copies. */
export interface Traced {
	readonly input: InputPacket;
	readonly journey: Journey;
	/** What a director did with it, before the rules. */
	readonly director?: DirectorAnswer;
	readonly kernel: readonly KernelRecord[];
	readonly context: PacketContext;
}

/** True if the kernel, asked by an exact copy, produces the same packet. */
export function answerAgrees({ answer, exact }: Pick<KernelRecord, "answer" | "exact">): boolean {
	return exact && answer !== "different";
}
