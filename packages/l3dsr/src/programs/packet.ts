/**
 * A packet on its way through a generated program: what every building block works with. A program of another kind has
 * more in its own type, and on its stack.
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
	/** Bytes in front of the network header: 14 (Ethernet) or 0 (tun, WireGuard, PPP …). */
	readonly linkHeaderBytes: 0 | 14;
	/** bpf_l4_csum_replace knows BPF_F_IPV6 (Linux 6.16+). Only tc asks. */
	readonly ipv6ChecksumFlag: boolean;
	/** How to find out what a packet's checksum is; without it the kernel's helper has to write it. Only tc asks. */
	readonly checksumState?: ChecksumState;
}

/** What the kernel knows of a packet's checksum is in its own structure (checksum-state.ts). */
export interface ChecksumState {
	/** bpf_cast_to_kern_ctx (Linux 6.2+): from the context to the `struct sk_buff`. */
	readonly cast: KernelFunction;
	/** `sk_buff.ip_summed` */
	readonly ipSummed: KernelField;
}

/** What a program returns: carry on, with the next program (TCX_NEXT, "next filter") or up the stack. */
export const PASS = { tc: TC_ACT.UNSPEC, xdp: XDP_ACTION.PASS } as const;
export const DROP = { tc: TC_ACT.SHOT, xdp: XDP_ACTION.DROP } as const;

/** A packet of one family. */
export interface Packet {
	readonly p: ProgramBuilder;
	readonly target: ProgramTarget;
	readonly family: Family;
	/** The context: where the packet begins and ends. */
	readonly ctx: View<typeof SKB.fields> | View<typeof XDP.fields>;
	/** The same at tc, with all that the kernel knows of a packet; undefined at XDP. */
	readonly skb: View<typeof SKB.fields> | undefined;
	/** Start of the packet, proven to the end of the IP header; kept until the address is written. */
	readonly data: Value;
	/** End of what can be accessed directly, until the first call. */
	readonly end: Value;
	readonly source: Place;
	readonly destination: Place;
	/** TTL or hop limit. */
	readonly hopLimit: Place;
	readonly stack: Stack;
	readonly maps: ProgramMaps;
	/** Whether anything asks what `-p` compares with, which is more to find out in IPv6. */
	readonly asksProtocol: boolean;
	/** The packet goes on as it is now. */
	readonly pass: Label;
}

/** A packet whose headers have been read, extension headers and all. */
export interface ParsedPacket extends Packet {
	/** Offset of the transport header from the start of the packet. */
	readonly transport: Value;
	/** Protocol of the transport header, and the KIND bits that say why it cannot be used. */
	readonly kind: Value;
}

/** In a packet's `kind`, above the protocol: with any of them, it is equal to no protocol. */
export const KIND = {
	/** No transport header here: a later fragment. */
	laterFragment: 0x100,
	/** A routing header with segments left: the pseudo-header has another destination. */
	routedFurther: 0x200,
	/** The chain of extension headers is cut short, or longer than the program walks (and so without transport). */
	chainCut: 0x400,
	chainLong: 0x800,
} as const;

/** As the protocol of a packet: neither `-p X` nor `! -p X` matches. */
export const NO_PROTOCOL = 0xffff_ffff;

/** Both ports, in network order. */
export const PORTS = struct("ports", { source: "be16", destination: "be16" });

/** Maps that the blocks use. */
export interface ProgramMaps {
	/** Counters (count.ts), by slot. */
	readonly counters: MapSpec;
	/** The steps over extension headers (extension-headers.ts), at an offset of the value of an array's only element. */
	readonly steps: { readonly map: MapSpec; readonly offset: number };
}

/** Places on the stack that the blocks use; each is written before the program reads it. */
export interface Stack {
	readonly slots: {
		/** Extension headers walked over so far: a number that the verifier has to know, and does for all of 8 bytes. */
		readonly walked: Place;
		/** Of the counter map. */
		readonly key: Place;
		/** Bytes of the IP packet. */
		readonly length: Place;
		/** What `-p` compares with (IPv6); NO_PROTOCOL if there is none. */
		readonly protocol: Place;
		/** Whether the packet has ports at all. */
		readonly hasPorts: Place;
		/** Where in the transport header the checksum is that follows a port; 0 if no port can be set. */
		readonly portChecksum: Place;
		/** Other than 0: a routing header that has been walked over has segments left. */
		readonly routed: Place;
		/** Offset of the transport checksum from the start of the packet. */
		readonly checksumOffset: Place;
		/** Slot that counts why the transport header is out of reach; NOTHING_WRONG. */
		readonly malformed: Place;
	};
	/** The ports, as they stand in the packet and as rules compare them. */
	readonly ports: View<typeof PORTS.fields>;
	/** The packet's original destination port. */
	readonly arrivedPort: Place;
	/** A 16-bit field of the packet, copied here and back. */
	readonly field: Place;
	/** The first bytes of an extension header. */
	readonly extension: Place;
}
