/**
 * A packet on its way through a generated program, as all building blocks use it. Each kind of program adds to this
 * type and to its stack.
 */
import {
	type KernelField,
	type KernelFunction,
	type Label,
	type MapSpec,
	type Place,
	type ProgramBuilder,
	type SKB,
	struct,
	TC_ACT,
	type Value,
	type View,
	type XDP,
	XDP_ACTION,
} from "@l3dsr/bpf";
import type { Family } from "@l3dsr/packet";

export type HookKind = "tc" | "xdp";

/** What a program is compiled for. */
export interface ProgramTarget {
	readonly hook: HookKind;
	/** Bytes before the network header: 14 (Ethernet) or 0 (tun, WireGuard, PPP …). */
	readonly linkHeaderBytes: 0 | 14;
	/** bpf_l4_csum_replace knows BPF_F_IPV6 (Linux 6.16+). Only tc uses it. */
	readonly ipv6ChecksumFlag: boolean;
	/**
	 * How to read the state of a packet's checksum; without it, the kernel's helper writes the checksum. Only tc uses
	 * it.
	 */
	readonly checksumState?: ChecksumState;
}

/** How to reach the kernel's own record of a packet's checksum (checksum-state.ts). */
export interface ChecksumState {
	/** bpf_cast_to_kern_ctx (Linux 6.2+): converts the context to a `struct sk_buff`. */
	readonly cast: KernelFunction;
	/** `sk_buff.ip_summed` */
	readonly ipSummed: KernelField;
}

/** The verdict to continue, with the next program (TCX_NEXT, "next filter") or up the stack. */
export const PASS = { tc: TC_ACT.UNSPEC, xdp: XDP_ACTION.PASS } as const;
export const DROP = { tc: TC_ACT.SHOT, xdp: XDP_ACTION.DROP } as const;

/** A packet of one family. */
export interface Packet {
	readonly p: ProgramBuilder;
	readonly target: ProgramTarget;
	readonly family: Family;
	/** The context, with the start and end of the packet. */
	readonly ctx: View<typeof SKB.fields> | View<typeof XDP.fields>;
	/** The same context at tc, with all its fields; undefined at XDP. */
	readonly skb: View<typeof SKB.fields> | undefined;
	/** Start of the packet, proven to the end of the IP header; kept until the address is written. */
	readonly data: Value;
	/** End of the directly accessible bytes, until the first call. */
	readonly end: Value;
	readonly source: Place;
	readonly destination: Place;
	/** TTL or hop limit. */
	readonly hopLimit: Place;
	readonly stack: Stack;
	readonly maps: ProgramMaps;
	/** Whether anything needs what `-p` compares with, which takes more work in IPv6. */
	readonly asksProtocol: boolean;
	/** Passes the packet on as it is now. */
	readonly pass: Label;
}

/** A packet whose headers have been read, including extension headers. */
export interface ParsedPacket extends Packet {
	/** Offset of the transport header from the start of the packet. */
	readonly transport: Value;
	/** Protocol of the transport header, with KIND bits that say why it cannot be used. */
	readonly kind: Value;
}

/** Bits in a packet's `kind` above the protocol: with any of them, it equals no protocol. */
export const KIND = {
	/** No transport header: a later fragment. */
	laterFragment: 0x100,
	/** A routing header with segments left: the pseudo-header has another destination. */
	routedFurther: 0x200,
	/** The chain of extension headers is truncated, or longer than the program walks, so there is no transport header. */
	chainCut: 0x400,
	chainLong: 0x800,
} as const;

/** A packet's protocol if it has none: neither `-p X` nor `! -p X` matches. */
export const NO_PROTOCOL = 0xffff_ffff;

/** Both ports, in network order. */
export const PORTS = struct("ports", { source: "be16", destination: "be16" });

/** Maps that the blocks use. */
export interface ProgramMaps {
	/** Counters (count.ts), by slot. */
	readonly counters: MapSpec;
	/** The steps over extension headers (extension-headers.ts), at an offset in the value of a one-element array. */
	readonly steps: { readonly map: MapSpec; readonly offset: number };
}

/** Places on the stack that the blocks use; the program writes each before it reads it. */
export interface Stack {
	readonly slots: {
		/**
		 * Extension headers walked over so far. The verifier must know this number, and it does if all 8 bytes are used.
		 */
		readonly walked: Place;
		/** Key of the counter map. */
		readonly key: Place;
		/** Bytes of the IP packet. */
		readonly length: Place;
		/** What `-p` compares with (IPv6); NO_PROTOCOL if there is none. */
		readonly protocol: Place;
		/** Whether the packet has ports. */
		readonly hasPorts: Place;
		/** Offset in the transport header of the checksum that covers a port; 0 if no port can be set. */
		readonly portChecksum: Place;
		/** Not 0: a routing header that was walked over has segments left. */
		readonly routed: Place;
		/** Offset of the transport checksum from the start of the packet. */
		readonly checksumOffset: Place;
		/** Slot that counts why the transport header cannot be reached, or NOTHING_WRONG. */
		readonly malformed: Place;
	};
	/** The ports, in packet byte order, as rules compare them. */
	readonly ports: View<typeof PORTS.fields>;
	/** The packet's original destination port. */
	readonly arrivedPort: Place;
	/** A 16-bit field of the packet, copied here and back. */
	readonly field: Place;
	/** The first bytes of an extension header. */
	readonly extension: Place;
}
