import { bytesNumber } from "../bytes.ts";
import { type DataType, dataType, integerType } from "../data-type.ts";
import type { Bitwise, Compare, Expression, Payload } from "../expression.ts";
import { FIELDS, type Field, type FieldName } from "../field.ts";
import { valueText } from "./value.ts";

/** The contents of a register. */
export interface Held {
	readonly text: string;
	readonly type: DataType;
	/** Bytes. */
	readonly length: number;
	readonly shift: number;
	/** The part of the packet that was loaded. */
	readonly payload?: Payload;
	readonly mask?: Bitwise & { operation: "mask" };
	/** Number of leading bits that were kept of an address. */
	readonly prefix?: number;
	/** The value, if it is a constant. */
	readonly value?: Uint8Array;
}

/** The number of a register's first four bytes, in units of four bytes. */
export function place(register: number): number {
	return register < 8 ? (register - 1) * 4 : register - 8;
}

export const BASES = { link: "ll", network: "nh", transport: "th", inner: "ih", tunnel: "th" } as const;
export const FIELD_NAMES = Object.keys(FIELDS) as FieldName[];
export const WITH_PORTS: ReadonlyMap<number, string> = new Map([
	[6, "tcp"],
	[17, "udp"],
	[33, "dccp"],
	[132, "sctp"],
	[136, "udplite"],
]);
/** ICMP and ICMPv6. */
export const WITH_TYPES: ReadonlySet<number> = new Set([1, 58]);
export const PORT_OFFSETS: ReadonlySet<number> = new Set([0, 2]);
export const UNITS: Readonly<Record<string, string>> = {
	1: "second",
	60: "minute",
	3600: "hour",
	86400: "day",
	604800: "week",
};

export const UNREACHABLE: Readonly<Record<"icmp" | "icmpv6" | "icmpx", Readonly<Record<number, string>>>> = {
	icmp: {
		0: "net-unreachable",
		1: "host-unreachable",
		2: "prot-unreachable",
		3: "port-unreachable",
		9: "net-prohibited",
		10: "host-prohibited",
		13: "admin-prohibited",
	},
	icmpv6: { 0: "no-route", 1: "admin-prohibited", 3: "addr-unreachable", 4: "port-unreachable" },
	icmpx: { 0: "no-route", 1: "port-unreachable", 2: "host-unreachable", 3: "admin-prohibited" },
};
const CT_STATES: Readonly<Record<string, number>> = {
	invalid: 1,
	established: 2,
	related: 4,
	new: 8,
	untracked: 64,
};

export function isAddress({ name }: DataType): boolean {
	return name === "ipv4_addr" || name === "ipv6_addr";
}

export function isRange(first: Compare, second: Compare): boolean {
	return first.register === second.register && first.operator === ">=" && second.operator === "<=";
}

export function hostNumber(bytes: number): DataType {
	return { ...integerType(bytes), order: "host" };
}

const META_TYPES: Readonly<Record<string, DataType>> = {
	l4proto: dataType("inet_proto"),
	nfproto: dataType("nf_proto"),
	mark: dataType("mark"),
	protocol: dataType("ether_type"),
	ibrvproto: dataType("ether_type"),
	iiftype: dataType("iface_type"),
	oiftype: dataType("iface_type"),
	pkttype: dataType("pkt_type"),
	ibrpvid: hostNumber(2),
	nftrace: hostNumber(1),
	day: hostNumber(1),
	time: { ...hostNumber(8), name: "date" },
	priority: dataType("classid"),
	random: integerType(4),
};

export function metaType(key: string): { readonly type: DataType; readonly length: number } {
	const isName = key.endsWith("name") || key.endsWith("kind");
	const type = META_TYPES[key] ?? (isName ? dataType("ifname") : hostNumber(4));
	return { type, length: type.bytes };
}

/** Milliseconds. */
const TIME: DataType = { name: "time", id: 0, bytes: 4, order: "host" };
const CT_TYPES: Readonly<Record<string, DataType>> = {
	direction: hostNumber(1),
	mark: dataType("mark"),
	expiration: TIME,
	helper: dataType("ifname"),
	l3proto: dataType("nf_proto"),
	protocol: dataType("inet_proto"),
	"proto-src": dataType("inet_service"),
	"proto-dst": dataType("inet_service"),
	label: hostNumber(16),
	packets: hostNumber(8),
	bytes: hostNumber(8),
	avgpkt: hostNumber(8),
	zone: hostNumber(2),
	id: integerType(4),
	"ip saddr": dataType("ipv4_addr"),
	"ip daddr": dataType("ipv4_addr"),
	"ip6 saddr": dataType("ipv6_addr"),
	"ip6 daddr": dataType("ipv6_addr"),
};

/** `network`: the protocol of the addresses that the rule sees, which older forms of nft do not repeat. */
export function connectionHeld(
	{ key, direction }: Extract<Expression, { kind: "ct" }>,
	network?: string,
): Held {
	const isAddressKey = key === "saddr" || key === "daddr";
	const named = isAddressKey && network !== undefined ? `${network} ${key}` : key;
	const type = CT_TYPES[named] ?? hostNumber(4);
	const text = ["ct", direction, named].filter(Boolean).join(" ");
	return { text, type, length: type.bytes, shift: 0 };
}

const EXTENSION_FIELDS: Readonly<Record<string, string>> = {
	"0 0 1": "hbh nexthdr",
	"0 1 1": "hbh hdrlength",
	"43 0 1": "rt nexthdr",
	"43 1 1": "rt hdrlength",
	"43 2 1": "rt type",
	"43 3 1": "rt seg-left",
	"44 4 4": "frag id",
	"44 0 1": "frag nexthdr",
	"60 0 1": "dst nexthdr",
	"60 1 1": "dst hdrlength",
	"135 2 1": "mh type",
};
const EXTENSION_HEADERS: Readonly<Record<number, string>> = {
	0: "hbh",
	43: "rt",
	44: "frag",
	60: "dst",
	135: "mh",
};
const IP_OPTIONS: Readonly<Record<number, string>> = { 7: "rr", 131: "lsrr", 137: "ssrr", 148: "ra" };

export function extensionHeader(one: Extract<Expression, { kind: "exthdr" }>): Held {
	const { present, length } = one;
	return {
		text: extensionText(one),
		...(present ? { type: dataType("boolean"), length: 1 } : { type: integerType(length), length }),
		shift: 0,
	};
}

function extensionText({
	operation,
	type,
	offset,
	length,
	present,
}: Extract<Expression, { kind: "exthdr" }>): string {
	const bits = `${offset * 8},${length * 8}`;
	if (operation === "tcp option") return present ? `tcp option ${type}` : `tcp option @${type},${bits}`;
	if (operation === "ipv6") {
		const header = EXTENSION_HEADERS[type] ?? String(type);
		return present
			? `exthdr ${header}`
			: (EXTENSION_FIELDS[`${type} ${offset} ${length}`] ?? `exthdr ${header} @${bits}`);
	}
	const option = operation === "ip option" ? IP_OPTIONS[type] : undefined;
	return present && option !== undefined
		? `${operation} ${option}`
		: wordless(`${operation} ${type} @${bits}${present ? " present" : ""}`);
}

/** Something that this package has no words for. nft refuses the brackets, so nobody loads less than was printed. */
export function wordless(what: string): string {
	return `[ ${what} ]`;
}

/** A compared value as text; if only the beginning of an address is compared, with the prefix length. */
export function comparedText(held: Held, value: Uint8Array): string {
	const name = FIELD_NAMES.find((one) => one === held.text);
	const field: Field | undefined = name === undefined ? undefined : FIELDS[name];
	if (field !== undefined && value.length < field.length && held.payload?.length === value.length) {
		const whole = new Uint8Array(field.length);
		whole.set(value);
		return `${valueText(whole, field.type)}/${value.length * 8}`;
	}
	if (isAddress(held.type) && value.length < held.type.bytes) {
		const whole = new Uint8Array(held.type.bytes);
		whole.set(value);
		return `${valueText(whole, held.type)}/${value.length * 8}`;
	}
	if (held.prefix !== undefined) return `${valueText(value, held.type)}/${held.prefix}`;
	if (held.type.name === "boolean") return value.some((byte) => byte !== 0) ? "exists" : "missing";
	return valueText(value, held.type, held.shift);
}

/** `ct state established,related` and `ct label 5`: nft's words for a test of bits. Undefined if it is another one. */
export function flagText({ text, mask }: Held, operator: string, value: Uint8Array): string | undefined {
	if (mask === undefined || operator !== "!=" || value.some((byte) => byte !== 0)) return undefined;
	const bits = bytesNumber(mask.mask, "host");
	if (text.startsWith("ct label & ")) {
		const label = bits.toString(2).length - 1;
		return bits === 1n << BigInt(label) ? `ct label ${label}` : undefined;
	}
	if (!text.startsWith("ct state & ")) return undefined;
	const names = Object.keys(CT_STATES).filter((name) => (bits & BigInt(CT_STATES[name] ?? 0)) !== 0n);
	const known = names.reduce((sum, name) => sum | BigInt(CT_STATES[name] ?? 0), 0n);
	return known === bits ? `ct state ${names.join(",")}` : undefined;
}
