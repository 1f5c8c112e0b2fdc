/**
 * nft(8)'s statements, each as the list of its expressions: `match(field("ip dscp"), "!=", 0)`,
 * `assign(field("ip daddr"), address)`. nft produces the same expressions for the same statement.
 */
import { checkWhole } from "./attribute-writer.ts";
import { numberBytes, prefixMask } from "./bytes.ts";
import { type DataType, dataType, integerType } from "./data-type.ts";
import type { AnonymousSet, SetElement } from "./element.ts";
import type {
	Expression,
	ExtensionHeader,
	Fib,
	MetaKey,
	PayloadBase,
	PayloadWrite,
	VerdictExpression,
} from "./expression.ts";
import { FIELDS, type Field, type FieldName, shiftOf } from "./field.ts";
import type { Comparison } from "./uapi.ts";

/** The register for comparisons and writes: the first of 16 bytes. */
const REGISTER = 1;

/** Something with a value in each packet. */
export interface Operand {
	/** Loads the value into register 1. */
	readonly load: readonly Expression[];
	/** Bytes. */
	readonly length: number;
	readonly type: DataType;
	/** The bits of those bytes that belong to the value, and the number of bits below them. */
	readonly mask?: number;
	readonly shift: number;
	/** Its place, if it is in the packet. */
	readonly place?: Pick<Field, "base" | "offset" | "checksum" | "pseudoHeader">;
	/** A name, which is compared with its trailing zeros, or by prefix. */
	readonly text?: true;
}

export interface NumberRange {
	readonly first: number;
	readonly last: number;
}

/** What an operand is compared with. A number is the field's own value: 0–63 for `ip dscp`. */
export type Value =
	| number
	| Uint8Array
	/** The first bits of an address. */
	| { readonly prefix: Uint8Array; readonly length: number }
	/** Inclusive. */
	| NumberRange
	/** Disjoint. */
	| { readonly anyOf: readonly NumberRange[] }
	/** Addresses, or other bytes. */
	| { readonly oneOf: readonly Uint8Array[] }
	/** A named set of the table. */
	| { readonly set: string }
	/** The name of an interface; a wildcard is a prefix of one. */
	| { readonly name: string; readonly wildcard: boolean };

export function field(name: FieldName): Operand {
	let known = fields.get(name);
	if (known === undefined) {
		known = fieldOperand(name);
		fields.set(name, known);
	}
	return known;
}

const fields = new Map<FieldName, Operand>();

function fieldOperand(name: FieldName): Operand {
	const { base, offset, length, mask, type, checksum, pseudoHeader }: Field = FIELDS[name];
	const load = payload(base, offset, length);
	return {
		// A device without Ethernet headers does not have these fields.
		load: name === "ether saddr" ? [...match(meta("iiftype"), "==", ARPHRD_ETHER), load] : [load],
		length,
		type,
		...(mask === undefined ? {} : { mask }),
		shift: shiftOf({ ...(mask === undefined ? {} : { mask }) }),
		place: {
			base,
			offset,
			...(checksum === undefined ? {} : { checksum }),
			...(pseudoHeader === undefined ? {} : { pseudoHeader }),
		},
	};
}

const ARPHRD_ETHER = 1;

/** Bytes at an offset, like nft's `@nh,8,8`. Offset and length in bits, multiples of eight. */
export function rawField(base: PayloadBase, offset: number, length: number): Operand {
	if (offset % 8 !== 0 || length % 8 !== 0)
		throw new RangeError("offset and length of a raw field must be multiples of 8 bits");
	const bytes = length / 8;
	return {
		load: [payload(base, offset / 8, bytes)],
		length: bytes,
		type: integerType(bytes),
		shift: 0,
		place: { base, offset: offset / 8 },
	};
}

function payload(base: PayloadBase, offset: number, length: number): Expression {
	return { kind: "payload", base, offset, length, register: REGISTER };
}

const META_TYPES = {
	length: host(4),
	protocol: dataType("ether_type"),
	mark: dataType("mark"),
	iif: dataType("iface_index"),
	oif: dataType("iface_index"),
	iifname: dataType("ifname"),
	oifname: dataType("ifname"),
	iiftype: dataType("iface_type"),
	nfproto: dataType("nf_proto"),
	l4proto: dataType("inet_proto"),
	pkttype: dataType("pkt_type"),
} as const satisfies Partial<Record<MetaKey, DataType>>;

function host(bytes: number): DataType {
	return { ...integerType(bytes), order: "host" };
}

export function meta(key: keyof typeof META_TYPES): Operand {
	let known = metas.get(key);
	if (known === undefined) {
		known = metaOperand(key);
		metas.set(key, known);
	}
	return known;
}

const metas = new Map<keyof typeof META_TYPES, Operand>();

function metaOperand(key: keyof typeof META_TYPES): Operand {
	const type = META_TYPES[key];
	return {
		load: [{ kind: "meta", key, register: REGISTER }],
		length: type.bytes,
		type,
		shift: 0,
		...(key === "iifname" || key === "oifname" ? { text: true } : {}),
	};
}

/** The type that the routing tables give an address: `fib daddr type`. */
export function fibType(flags: Fib["flags"]): Operand {
	const load: Expression = { kind: "fib", result: "type", flags, register: REGISTER };
	return { load: [load], length: 4, type: dataType("fib_addrtype"), shift: 0 };
}

/** Whether an IPv6 extension header is present; compare it with 1 or 0. */
export function hasExtensionHeader(type: number): Operand {
	const { load, ...operand } = extensionHeader(type, 0, 1);
	return {
		...operand,
		type: dataType("boolean"),
		load: load.map((one) => (one.kind === "exthdr" ? { ...one, present: true } : one)),
	};
}

/** A field of an IPv6 extension header; offset and length in bytes of the header. */
export function extensionHeader(type: number, offset: number, length: number): Operand {
	const header: ExtensionHeader = {
		kind: "exthdr",
		operation: "ipv6",
		type,
		offset,
		length,
		present: false,
		register: REGISTER,
	};
	return { load: [header], length, type: integerType(length), shift: 0 };
}

/**
 * Concatenates the values and hashes them with `jhash` to a number below `modulus`. Without a seed, the
 * kernel picks one for each rule.
 */
export function jhash(parts: readonly Operand[], modulus: number, seed?: number): Operand {
	let place = HASHED_PLACE;
	const loads = parts.flatMap(({ load, length }) => {
		const register = place % 4 === 0 ? place / 4 + 1 : place + 8;
		place += (length + 3) >> 2;
		return load.map((one) => ("register" in one ? { ...one, register } : one));
	});
	const length = 4 * (place - HASHED_PLACE);
	if (place > REGISTERS) throw new RangeError(`${length} bytes are too many to hash at once`);
	const source = HASHED_PLACE / 4 + 1;
	const hash: Expression = {
		kind: "hash",
		type: "jhash",
		source,
		length,
		modulus,
		...(seed === undefined ? {} : { seed }),
		offset: 0,
		register: REGISTER,
	};
	return { load: [...loads, hash], length: 4, type: host(4), shift: 0 };
}

/** In units of four-byte registers: the first after register 1, and the total number. */
const HASHED_PLACE = 4;
const REGISTERS = 16;

/** Selects bits of the operand: `ip frag-off & 0x1fff`. The compared value is a number of all its bytes. */
export function masked(operand: Operand, mask: number): Operand {
	return { ...operand, mask, shift: 0 };
}

/** Continues if the comparison holds. Throws RangeError for a value that the operand cannot have. */
export function match(left: Operand, operator: Comparison, right: Value): readonly Expression[] {
	const load = loading(left);
	if (typeof right === "number") return [...load, compare(operator, bytesOf(left, right))];
	if (right instanceof Uint8Array) return [...load, compare(operator, wholeOf(left, right))];
	if ("prefix" in right) return matchPrefix(left, operator, right.prefix, right.length);
	if ("name" in right) {
		const name = Buffer.from(right.name, "utf8");
		if (name.length === 0 || name.length >= left.length) {
			throw new RangeError(`the name "${right.name}" has ${name.length} bytes, not 1 to ${left.length - 1}`);
		}
		const whole = new Uint8Array(left.length);
		whole.set(name);
		return [...load, compare(operator, right.wildcard ? new Uint8Array(name) : whole)];
	}
	if (operator !== "==" && operator !== "!=")
		throw new RangeError(`a range or set is not compared by ${operator}`);
	if ("set" in right) return [...load, lookup(right.set, operator)];
	if ("anyOf" in right) return [...load, lookup(setOf(left, right.anyOf), operator)];
	if ("oneOf" in right) {
		return [
			...load,
			lookup({ key: left.type, elements: right.oneOf.map((key) => ({ key: wholeOf(left, key) })) }, operator),
		];
	}
	const { first, last } = rangeOf(left, right);
	return operator === "!="
		? [...load, { kind: "range", register: REGISTER, operator, first, last }]
		: [...load, compare(">=", first), compare("<=", last)];
}

function lookup(set: string | AnonymousSet, operator: "==" | "!="): Expression {
	return { kind: "lookup", set, register: REGISTER, negated: operator === "!=" };
}

function setOf(left: Operand, ranges: readonly NumberRange[]): AnonymousSet {
	return {
		key: left.type.bytes === left.length ? left.type : integerType(left.length),
		elements: ranges.map((range): SetElement => {
			const { first, last } = rangeOf(left, range);
			return range.first === range.last ? { key: first } : { key: first, last };
		}),
	};
}

function compare(operator: Comparison, value: Uint8Array): Expression {
	return { kind: "compare", register: REGISTER, operator, value };
}

function rangeOf(left: Operand, { first, last }: NumberRange): { first: Uint8Array; last: Uint8Array } {
	if (last < first) throw new RangeError(`the range ${first}-${last} ends before it begins`);
	return { first: bytesOf(left, first), last: bytesOf(left, last) };
}

/** The same bytes. Fewer would be compared as a prefix. Throws RangeError. */
function wholeOf({ length }: Operand, bytes: Uint8Array): Uint8Array {
	if (bytes.length === length) return bytes;
	throw new RangeError(`a value of ${bytes.length} bytes, where ${length} are compared or written`);
}

/** A prefix of whole bytes is compared by loading only those bytes. */
function matchPrefix(
	left: Operand,
	operator: Comparison,
	prefix: Uint8Array,
	length: number,
): readonly Expression[] {
	const most = 8 * left.length;
	if (!Number.isInteger(length) || length < 1 || length > most) {
		throw new RangeError(`a prefix of ${length} bits, not 1 to ${most}`);
	}
	const whole = wholeOf(left, prefix);
	if (length % 8 === 0 && left.place !== undefined) {
		const { base, offset } = left.place;
		return [payload(base, offset, length / 8), compare(operator, whole.slice(0, length / 8))];
	}
	const bits = prefixMask(length, left.length);
	return [
		...left.load,
		mask(left.length, bits, new Uint8Array(left.length)),
		// Bits after the prefix would never be equal.
		compare(
			operator,
			whole.map((byte, at) => byte & (bits[at] ?? 0)),
		),
	];
}

/** Loads the operand, without the bits that do not belong to it. */
function loading(operand: Operand): readonly Expression[] {
	const { load, mask: bits, length, type } = operand;
	if (bits === undefined) return load;
	let whole = maskedLoads.get(operand);
	if (whole === undefined) {
		whole = [...load, mask(length, numberBytes(bits, length, type.order), new Uint8Array(length))];
		maskedLoads.set(operand, whole);
	}
	return whole;
}

const maskedLoads = new WeakMap<Operand, readonly Expression[]>();

function mask(length: number, bits: Uint8Array, xor: Uint8Array): Expression {
	return {
		kind: "bitwise",
		source: REGISTER,
		register: REGISTER,
		length,
		operation: "mask",
		mask: bits,
		xor,
	};
}

/** Throws RangeError for a number that would reach bits beside the operand's. */
function checkNumber({ length, shift, mask: bits }: Operand, value: number): void {
	checkWhole(value, 0, bits === undefined ? 2 ** (8 * length) - 1 : bits >>> shift);
}

function bytesOf(operand: Operand, value: number): Uint8Array {
	checkNumber(operand, value);
	const { length, shift, type } = operand;
	return numberBytes(value * 2 ** shift, length, type.order);
}

/**
 * Writes a value to the packet: the field's number, or its bytes. Updates checksums. Throws RangeError for a value
 * that does not fit.
 */
export function assign(left: Operand, value: number | Uint8Array): readonly Expression[] {
	const { place } = left;
	if (place === undefined) throw new RangeError("only fields of the packet can be assigned");
	if (left.mask !== undefined && typeof value === "number") return assignBits(left, place, left.mask, value);
	const bytes = typeof value === "number" ? bytesOf(left, value) : wholeOf(left, value);
	return [{ kind: "immediate", register: REGISTER, value: bytes }, write(place, left.length)];
}

/** Writes metadata that the kernel keeps with the packet: `meta mark set 7`. */
export function assignMeta(key: keyof typeof META_TYPES, value: number): readonly Expression[] {
	return [
		{ kind: "immediate", register: REGISTER, value: bytesOf(meta(key), value) },
		{ kind: "meta write", key, register: REGISTER },
	];
}

/**
 * Writes a map's data for `key`; the map belongs to the table or to this rule. The rule ends if the map has
 * no such key.
 */
export function assignFromMap(
	left: Operand,
	key: Operand,
	map: string | AnonymousSet,
): readonly Expression[] {
	if (left.place === undefined) throw new RangeError("only fields of the packet can be assigned");
	return [
		...loading(key),
		{ kind: "lookup", set: map, register: REGISTER, destination: REGISTER, negated: false },
		write(left.place, left.length),
	];
}

/** Checksums cover words of two bytes, so a single byte is written together with its neighbour. */
function assignBits(
	operand: Operand,
	place: NonNullable<Operand["place"]>,
	bits: number,
	value: number,
): readonly Expression[] {
	checkNumber(operand, value);
	const { length, shift } = operand;
	const odd = length === 1 && place.checksum !== undefined;
	const [offset, size] = odd ? [place.offset & ~1, 2] : [place.offset, length];
	const lowest = odd && place.offset % 2 === 0 ? 8 : 0;
	const all = 2 ** (8 * size) - 1;
	return [
		payload(place.base, offset, size),
		mask(
			size,
			numberBytes(BigInt(all - (bits << lowest)), size),
			numberBytes(BigInt(value << (shift + lowest)), size),
		),
		write({ ...place, offset }, size),
	];
}

function write(
	{ base, offset, checksum, pseudoHeader }: NonNullable<Operand["place"]>,
	length: number,
): PayloadWrite {
	return {
		kind: "payload write",
		base,
		offset,
		length,
		register: REGISTER,
		...(checksum === undefined ? {} : { checksum }),
		pseudoHeader: pseudoHeader === true,
	};
}

/** `accept`, `drop`, `return` … */
export function verdict(kind: Exclude<VerdictExpression["verdict"], "jump" | "goto">): VerdictExpression {
	return { kind: "verdict", verdict: kind };
}

/** Continues after this rule when the chain ends. */
export function jump(chain: string): VerdictExpression {
	return { kind: "verdict", verdict: "jump", chain };
}

/** Does not continue after this rule. */
export function goTo(chain: string): VerdictExpression {
	return { kind: "verdict", verdict: "goto", chain };
}

/** Counts the packets that reach it, starting from the given values. */
export function counter(packets = 0n, bytes = 0n): Expression {
	return { kind: "counter", packets, bytes };
}
