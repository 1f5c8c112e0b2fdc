/** What a director's program is compiled for, beside its tables. */
import type { FlowMode, ForwardMode } from "../../model/director.ts";

export type HookKind = "xdp" | "tc";

export interface ProgramOptions {
	readonly hook: HookKind;
	/** The interface that the program is for: index, and MAC address (none where frames have no Ethernet header). */
	readonly ifindex: number;
	readonly mac?: Uint8Array;
	/** 1–4094: frames with this tag, and no others. Only XDP. */
	readonly vlan?: number;
	/**
	 * `resolved`: out of an interface, by the next hop in the tables. `kernel`: up the stack, which routes; for devices
	 * that cannot send a frame at XDP, and always at tc.
	 */
	readonly forward: ForwardMode;
	readonly flows: FlowMode;
	/** Some service has port `any`: a second look into the VIP table. */
	readonly anyPort: boolean;
	/** Some VIP is answered by the program. */
	readonly echoReply: boolean;
	/** Real servers are in the VIP table too: what comes straight to them with a code of ours is bleached. */
	readonly bleach: boolean;
	/** bpf_l4_csum_replace knows BPF_F_IPV6 (Linux 6.16+). Only tc asks. */
	readonly ipv6ChecksumFlag: boolean;
	/** Linux 5.11 has the cheaper clock. */
	readonly clock: "bpf_ktime_get_ns" | "bpf_ktime_get_coarse_ns";
	/** Of the VIP table: by this its entries are found. */
	readonly multiplier: bigint;
	readonly vipBits: number;
	readonly rings: number;
	readonly reals: number;
	readonly flowBits: number;
	readonly fragmentBits: number;
}
