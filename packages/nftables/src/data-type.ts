/**
 * Types of the keys and data of sets, which tell nft(8) how to read and print them. The kernel uses only
 * their size.
 */

export interface DataType {
	/** nft's name; the names of a concatenation's parts are joined by ` . `. */
	readonly name: string;
	/** nft's number (enum datatypes); a concatenation has six bits for each part. */
	readonly id: number;
	/** Size in a register, in bytes; each part of a concatenation is rounded up to four. */
	readonly bytes: number;
	/** `host`: the kernel stores it in host order. */
	readonly order: "network" | "host";
	/** The parts of a concatenation. */
	readonly parts?: readonly DataType[];
}

const network = (id: number, bytes: number) => ({ id, bytes, order: "network" }) as const;
const host = (id: number, bytes: number) => ({ id, bytes, order: "host" }) as const;

const TYPES = {
	nf_proto: host(2, 1),
	lladdr: network(6, 6),
	ipv4_addr: network(7, 4),
	ipv6_addr: network(8, 16),
	ether_addr: network(9, 6),
	ether_type: network(10, 2),
	arp_op: network(11, 2),
	inet_proto: network(12, 1),
	inet_service: network(13, 2),
	icmp_type: network(14, 1),
	tcp_flag: network(15, 1),
	mark: host(19, 4),
	iface_index: host(20, 4),
	iface_type: host(21, 2),
	realm: host(22, 4),
	classid: host(23, 4),
	uid: host(24, 4),
	gid: host(25, 4),
	ct_state: host(26, 4),
	ct_dir: host(27, 1),
	ct_status: host(28, 4),
	icmpv6_type: network(29, 1),
	pkt_type: host(31, 1),
	icmp_code: network(32, 1),
	icmpv6_code: network(33, 1),
	icmpx_code: network(34, 1),
	devgroup: host(35, 4),
	dscp: network(36, 1),
	ecn: network(37, 1),
	fib_addrtype: host(38, 4),
	boolean: host(39, 1),
	ifname: host(41, 16),
	igmp_type: network(42, 1),
} as const satisfies Readonly<Record<string, Omit<DataType, "name">>>;

export type DataTypeName = keyof typeof TYPES;

const INTEGER_ID = 4;

export function dataType(name: DataTypeName): DataType {
	return { name, ...TYPES[name] };
}

/** An integer of any size, in network order. */
export function integerType(bytes: number): DataType {
	return { name: "integer", id: INTEGER_ID, bytes, order: "network" };
}

/**
 * The values in a concatenation, each with its type; a value of another type by itself. Each begins at a multiple of four
 * bytes.
 */
export function partsOf(
	bytes: Uint8Array,
	type: DataType,
): { readonly bytes: Uint8Array; readonly type: DataType }[] {
	let at = 0;
	return (type.parts ?? [type]).map((part) => {
		const from = at;
		at += (part.bytes + 3) & ~3;
		return { bytes: bytes.subarray(from, from + part.bytes), type: part };
	});
}

export function concatenation(...parts: readonly DataType[]): DataType {
	return {
		name: parts.map(({ name }) => name).join(" . "),
		id: parts.reduce((id, part) => (id << 6) | part.id, 0),
		bytes: parts.reduce((sum, { bytes }) => sum + ((bytes + 3) & ~3), 0),
		order: "network",
		parts,
	};
}

/** The type with the number and size that the kernel reports for a set's keys or data. */
export function dataTypeOf(id: number, bytes: number): DataType {
	if (id > 63) {
		const parts: number[] = [];
		for (let rest = id; rest > 0; rest = Math.floor(rest / 64)) parts.unshift(rest % 64);
		// An integer in a concatenation has the size that the other parts leave.
		const known = parts.map((one) => knownType(one));
		const size = known.reduce((sum, one) => sum + (((one?.bytes ?? 0) + 3) & ~3), 0);
		return {
			...concatenation(...known.map((one) => one ?? integerType(Math.max(1, bytes - size)))),
			id,
			bytes,
		};
	}
	const known = knownType(id);
	if (known !== undefined && known.bytes === bytes) return known;
	return { name: id === INTEGER_ID ? "integer" : `type ${id}`, id, bytes, order: "network" };
}

let typesById: ReadonlyMap<number, DataType> | undefined;

function knownType(id: number): DataType | undefined {
	typesById ??= new Map(
		(Object.keys(TYPES) as DataTypeName[]).map((name) => [TYPES[name].id, dataType(name)]),
	);
	return typesById.get(id);
}
