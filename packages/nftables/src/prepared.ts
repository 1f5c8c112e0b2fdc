/** Transactions that are encoded before they are needed. */
import { NetlinkBatch } from "@l3dsr/linux";
import type { Command } from "./command.ts";
import { encodeCommands, type Message } from "./encode.ts";
import { SUBSYSTEM } from "./uapi.ts";

/** `Nftables.send` sends it without delay, as often as wanted. */
export class PreparedTransaction {
	readonly batch: NetlinkBatch;

	/** Throws RangeError for values that do not fit into their attributes. */
	constructor(commands: readonly Command[]) {
		this.batch = batchOf(encodeCommands(commands));
	}

	/** Bytes of memory. */
	get size(): number {
		return this.batch.size;
	}
}

export function batchOf(messages: readonly Message[]): NetlinkBatch {
	return new NetlinkBatch(SUBSYSTEM, messages);
}
