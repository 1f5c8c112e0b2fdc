/** What a director's program is compiled for, besides its tables. */
import type { FlowMode, ForwardMode } from "../../model/director.ts";

export type HookKind = "xdp" | "tc";

export interface ProgramOptions {
	readonly hook: HookKind;
	/** The interface that the program is for: its index, and its MAC address unless frames have no Ethernet header. */
	readonly ifindex: number;
	readonly mac?: Uint8Array;
	/** 1–4094: only frames with this VLAN tag. XDP only. */
	readonly vlan?: number;
	/**
	 * `resolved`: sent from an interface, to the next hop in the tables. `kernel`: passed up the stack, which routes
	 * it; for devices that cannot send frames at XDP, and always at tc.
	 */
	readonly forward: ForwardMode;
	readonly flows: FlowMode;
	/** Some service covers any port, which needs a second lookup in the VIP table. */
	readonly anyPort: boolean;
	/** The program answers pings to some VIP. */
	readonly echoReply: boolean;
	/** Real servers are in the VIP table too: packets sent directly to them lose a code of ours. */
	readonly bleach: boolean;
	/** bpf_l4_csum_replace knows BPF_F_IPV6 (Linux 6.16+). Only tc uses it. */
	readonly ipv6ChecksumFlag: boolean;
	/** The cheaper clock needs Linux 5.11. */
	readonly clock: "bpf_ktime_get_ns" | "bpf_ktime_get_coarse_ns";
	/** Multiplier of the hash that finds entries of the VIP table. */
	readonly multiplier: bigint;
	readonly vipBits: number;
	readonly rings: number;
	readonly reals: number;
	readonly flowBits: number;
	readonly fragmentBits: number;
}
