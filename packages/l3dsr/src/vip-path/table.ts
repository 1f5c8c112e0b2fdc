/** What the program at the interfaces shares with the connecting process: a one-element array, mapped by both. */
import { BPF_MAP_FLAG, type MapSpec, struct } from "@l3dsr/bpf";
import type { Address } from "@l3dsr/packet";

/** A connection in progress; one cache line. */
export const CONNECTION = struct("connection", {
	/** IPv4: in the first four bytes. */
	vip: { bytes: 16 },
	real: { bytes: 16 },
	/** This host's address, which receives the answers. */
	local: { bytes: 16 },
	/** Checksum of the real server's address minus that of the VIP, as the kernel's helpers take it. */
	difference: "u32",
	/** Port of the real server. */
	port: "be16",
	/** 4 or 6. */
	version: "u8",
	/** Set by the program after an answer from the VIP, or one from the real server's own address. */
	fromVip: "u8",
	fromReal: "u8",
	_pad: { bytes: 7 },
});

/** Before the connections: for each local port the number of its connection; 0: none. */
export const PORT = struct("port", { connection: "u16" });
const PORTS = 65_536;
export const CONNECTIONS_AT = PORTS * PORT.size;
/** Numbers of connections have 16 bits and begin with 1. */
export const MOST_CONNECTIONS = 65_535;

/** A table for `connections` at the same time. */
export function tableSpec(connections: number): MapSpec {
	return {
		name: "l3dsr_path",
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: CONNECTIONS_AT + (connections + 1) * CONNECTION.size,
		maxEntries: 1,
		flags: BPF_MAP_FLAG.BPF_F_MMAPABLE,
	};
}

/**
 * Checksum of `to` minus that of `from`, in 32 bits of ones' complement (RFC 1624): what `bpf_csum_diff` returns for
 * them. Words are loaded as little-endian.
 */
export function checksumDifference(from: Address, to: Address): number {
	let sum = 0;
	for (const [bytes, mask] of [
		[from.bytes, 0xffff_ffff],
		[to.bytes, 0],
	] as const) {
		const view = new DataView(Uint8Array.from(bytes).buffer);
		for (let at = 0; at < bytes.length; at += 4) {
			sum += (view.getUint32(at, true) ^ mask) >>> 0;
			if (sum > 0xffff_ffff) sum -= 0xffff_ffff;
		}
	}
	return sum;
}
