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
export const CT_STATES: Readonly<Record<string, number>> = {
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

export function metaType(key: string): { readonly type: DataType; readonly length: number } {
	const type =
		key === "l4proto"
			? dataType("inet_proto")
			: key === "nfproto"
				? dataType("nf_proto")
				: key === "mark"
					? dataType("mark")
					: key.endsWith("name")
						? dataType("ifname")
						: key === "pkttype"
							? dataType("pkt_type")
							: hostNumber(4);
	return { type, length: type.bytes };
}

const EXTENSION_FIELDS: Readonly<Record<string, string>> = {
	"43 3 1": "rt seg-left",
	"44 4 4": "frag id",
	"44 0 1": "frag nexthdr",
};
const EXTENSION_HEADERS: Readonly<Record<number, string>> = {
	0: "hbh",
	43: "rt",
	44: "frag",
	60: "dst",
	135: "mh",
};

export function extensionHeader({
	type,
	offset,
	length,
	present,
}: Extract<Expression, { kind: "exthdr" }>): Held {
	const header = EXTENSION_HEADERS[type] ?? String(type);
	if (present) return { text: `exthdr ${header}`, type: dataType("boolean"), length: 1, shift: 0 };
	const text =
		EXTENSION_FIELDS[`${type} ${offset} ${length}`] ?? `exthdr ${header} @${offset * 8},${length * 8}`;
	return { text, type: integerType(length), length, shift: 0 };
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
	if (held.prefix !== undefined) return `${valueText(value, held.type)}/${held.prefix}`;
	if (held.type.name === "boolean") return value.some((byte) => byte !== 0) ? "exists" : "missing";
	return valueText(value, held.type, held.shift);
}
