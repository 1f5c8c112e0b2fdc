/** One packet after its way through the rules, and what the kernel's own evaluation says to it. */

import type { PacketContext } from "../../rewrite/oracle/oracle.ts";
import type { DirectorAnswer } from "./ask-director.ts";
import type { InputPacket } from "./input-packet.ts";
import type { Journey } from "./journey.ts";

/** What the kernel's own evaluation made of the packet, against the oracle. */
export interface KernelRecord {
	readonly datapath: "ebpf" | "nft";
	readonly place: string;
	/** Of a program. */
	readonly programId?: number;
	/** The copy that was asked has the instructions of what runs. */
	readonly exact: boolean;
	/** Is it the oracle's packet? `why` not, or why it could not be asked. */
	readonly answer: "same" | "different" | "not asked";
	readonly why?: string;
	/** The packet that the kernel made, in hex, where it is another. */
	readonly bytes?: string;
}

/** The packet's way, and what the copies of what runs make of it. */
export interface Traced {
	readonly input: InputPacket;
	readonly journey: Journey;
	/** What a director in front of the rules did with it. */
	readonly director?: DirectorAnswer;
	readonly kernel: readonly KernelRecord[];
	readonly context: PacketContext;
}

/** The kernel, asked by an exact copy, makes no other packet of it. */
export function answerAgrees({ answer, exact }: Pick<KernelRecord, "answer" | "exact">): boolean {
	return exact && answer !== "different";
}
