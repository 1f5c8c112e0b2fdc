/** The messages between a crossing and its worker process. */
import type { OutgoingFrame } from "@l3dsr/linux";

export interface CrossingRequest {
	readonly frames: readonly OutgoingFrame[];
	/** Frames between two markers: below the kernel's queue limit (net.core.netdev_max_backlog). */
	readonly batch: number;
}

export interface CapturedFrame {
	readonly bytes: Uint8Array;
	readonly checksum: "pending" | "valid" | "unknown";
}

export type CrossingReply = { readonly frames: readonly CapturedFrame[] } | { readonly error: string };

/** Names of the interfaces on both ends of both links. */
export const LINKS = { sender: "tx0", ingress: "in0", egress: "out0", sink: "rx0" } as const;
