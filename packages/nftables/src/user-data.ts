/**
 * User data: bytes that the kernel stores for programs and does not interpret. nft(8) stores comments and the
 * printed form of a set's keys and data there (libnftnl's udata.h): one byte of type, one of length, then the
 * value; numbers are in host order.
 */
import { checkText } from "./attribute-writer.ts";
import { type FieldPlace, NAMED_FIELDS, type NamedField, type SetSpec, type SetType } from "./set.ts";

/** NFTNL_UDATA_*_COMMENT: for tables, chains, rules and elements. */
const COMMENT = 0;
/** NFTNL_UDATA_SET_ELEM_FLAGS and its SET_ELEM_F_INTERVAL_OPEN. */
const ELEMENT_FLAGS = 1;
const INTERVAL_OPEN = 1;
/** NFTNL_UDATA_SET_* */
const SET = {
	keyByteOrder: 0,
	dataByteOrder: 1,
	autoMerge: 2,
	keyTypeof: 3,
	dataTypeof: 4,
	dataInterval: 6,
	comment: 7,
} as const;
/** NFTNL_UDATA_SET_TYPEOF_* */
const TYPEOF = { expression: 0, data: 1 } as const;
/** EXPR_PAYLOAD of nft's enum expr_types. */
const EXPRESSION_PAYLOAD = 7;
/** NFTNL_UDATA_SET_KEY_PAYLOAD_* */
const PLACE = { protocol: 0, field: 1, base: 2, offset: 3, length: 4 } as const;
/** PROTO_BASE_* of nft. */
const BASES = { link: 1, network: 2, transport: 3, inner: 4 } as const;
/** enum byteorder of nft. */
const BYTE_ORDER = { host: 1, network: 2 } as const;

const LONGEST = 255;
/** NFTNL_UDATA_COMMENT_MAXLEN: nft(8) refuses longer comments; without the terminating zero. */
export const COMMENT_BYTES = 128;

function entry(type: number, value: Uint8Array): Uint8Array {
	if (value.length > LONGEST) throw tooLong(value.length);
	return Buffer.concat([Uint8Array.of(type, value.length), value]);
}

function tooLong(length: number): RangeError {
	return new RangeError(`user data of ${length} bytes, at most ${LONGEST} fit`);
}

function number(type: number, value: number): Uint8Array {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32LE(value);
	return entry(type, bytes);
}

function text(type: number, value: string): Uint8Array {
	checkText(value);
	const whole = Buffer.from(`\0\0${value}\0`, "utf8");
	const length = whole.length - 2;
	if (length > LONGEST) throw tooLong(length);
	whole[0] = type;
	whole[1] = length;
	return whole;
}

/** The comment of a table, chain, rule or element as user data. Throws RangeError if it is too long. */
export function encodeComment(comment: string): Uint8Array {
	return text(COMMENT, comment);
}

/** An element's comment, and whether it is an interval without an end, as user data. */
export function encodeElementUserData(comment: string | undefined, openEnd: boolean): Uint8Array {
	return Buffer.concat([
		...(comment === undefined ? [] : [encodeComment(comment)]),
		...(openEnd ? [number(ELEMENT_FLAGS, INTERVAL_OPEN)] : []),
	]);
}

/** Undefined if there is none. */
export function decodeComment(data: Uint8Array): string | undefined {
	return textOf(entriesOf(data).get(COMMENT));
}

/** What nft needs to print a set. */
export function encodeSetUserData({
	key,
	data,
	autoMerge,
	comment,
}: Pick<SetSpec, "key" | "data" | "autoMerge" | "comment">): Uint8Array {
	const parts = [number(SET.keyByteOrder, BYTE_ORDER[key.type.order])];
	if (data !== undefined) {
		parts.push(number(SET.dataByteOrder, data === "verdict" ? 0 : BYTE_ORDER[data.type.order]));
	}
	if (autoMerge === true) parts.push(number(SET.autoMerge, 1));
	const ofData = data === undefined || data === "verdict" ? undefined : typeofEntry(SET.dataTypeof, data);
	const ofKey = typeofEntry(SET.keyTypeof, key);
	// nft accepts a definition by `typeof` only if both key and data have one.
	if (ofKey !== undefined && (data === undefined || ofData !== undefined)) {
		parts.push(ofKey, ...(ofData === undefined ? [] : [ofData]));
	}
	if (data !== undefined) parts.push(number(SET.dataInterval, 0));
	if (comment !== undefined) parts.push(text(SET.comment, comment));
	return Buffer.concat(parts);
}

export interface SetUserData {
	/** Absent if it is not there. */
	readonly keyOrder?: "network" | "host";
	readonly autoMerge?: true;
	readonly key?: FieldPlace;
	readonly data?: FieldPlace;
	readonly comment?: string;
}

export function decodeSetUserData(bytes: Uint8Array): SetUserData {
	const entries = entriesOf(bytes);
	const ofKey = placeOf(entries.get(SET.keyTypeof));
	const ofData = placeOf(entries.get(SET.dataTypeof));
	// nft before 1.0 stores only that of the data if the key is raw payload, and prints neither.
	const isWhole = ofKey !== undefined && (ofData !== undefined || !entries.has(SET.dataByteOrder));
	const [key, data] = isWhole ? [ofKey, ofData] : [];
	const comment = textOf(entries.get(SET.comment));
	const wanted = numberOf(entries.get(SET.keyByteOrder));
	const order = (["host", "network"] as const).find((one) => BYTE_ORDER[one] === wanted);
	return {
		...(order === undefined ? {} : { keyOrder: order }),
		...(numberOf(entries.get(SET.autoMerge)) === 1 ? { autoMerge: true } : {}),
		...(key === undefined ? {} : { key }),
		...(data === undefined ? {} : { data }),
		...(comment === undefined ? {} : { comment }),
	};
}

function typeofEntry(type: number, { typeof: place }: SetType): Uint8Array | undefined {
	if (place === undefined || place.base === "tunnel") return undefined;
	const inside =
		place.name === undefined
			? [
					number(PLACE.protocol, 0),
					number(PLACE.field, 0),
					number(PLACE.base, BASES[place.base]),
					number(PLACE.offset, place.offset),
					number(PLACE.length, place.length),
				]
			: NAMED_FIELDS[place.name].map((one, index) => number(index, one));
	return entry(
		type,
		Buffer.concat([number(TYPEOF.expression, EXPRESSION_PAYLOAD), entry(TYPEOF.data, Buffer.concat(inside))]),
	);
}

function placeOf(bytes: Uint8Array | undefined): FieldPlace | undefined {
	if (bytes === undefined) return undefined;
	const outside = entriesOf(bytes);
	if (numberOf(outside.get(TYPEOF.expression)) !== EXPRESSION_PAYLOAD) return undefined;
	const inside = entriesOf(outside.get(TYPEOF.data) ?? new Uint8Array(0));
	const value = (type: number): number => numberOf(inside.get(type)) ?? 0;
	const [protocol, field] = [value(PLACE.protocol), value(PLACE.field)];
	const name = FIELD_NAMES.find((one) => NAMED_FIELDS[one][0] === protocol && NAMED_FIELDS[one][1] === field);
	if (name !== undefined) return { ...NAMED_PLACES[name], name };
	const base = BASE_NAMES.find((one) => BASES[one] === value(PLACE.base));
	if (protocol !== 0 || base === undefined) return undefined;
	return { base, offset: value(PLACE.offset), length: value(PLACE.length) };
}

const FIELD_NAMES = Object.keys(NAMED_FIELDS) as NamedField[];
const BASE_NAMES = Object.keys(BASES) as (keyof typeof BASES)[];
const NAMED_PLACES: Readonly<Record<NamedField, FieldPlace>> = {
	"ip saddr": { base: "network", offset: 96, length: 32 },
	"ip daddr": { base: "network", offset: 128, length: 32 },
	"ip6 saddr": { base: "network", offset: 64, length: 128 },
	"ip6 daddr": { base: "network", offset: 192, length: 128 },
};

/** The place of a named field, for a set's `typeof`. */
export function namedPlace(name: NamedField): FieldPlace {
	return { ...NAMED_PLACES[name], name };
}

/** Other programs may have written anything: read as many entries as possible. */
function entriesOf(bytes: Uint8Array): Map<number, Uint8Array> {
	const entries = new Map<number, Uint8Array>();
	for (let at = 0; at + 2 <= bytes.length; ) {
		const [type = 0, length = 0] = bytes.subarray(at, at + 2);
		if (at + 2 + length > bytes.length) break;
		entries.set(type, bytes.subarray(at + 2, at + 2 + length));
		at += 2 + length;
	}
	return entries;
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
	if (bytes === undefined) return undefined;
	const end = bytes.indexOf(0);
	return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString("utf8");
}

function numberOf(bytes: Uint8Array | undefined): number | undefined {
	return bytes?.length === 4 ? Buffer.from(bytes).readUInt32LE() : undefined;
}
