/**
 * Converts sets and elements between their values and the kernel's attributes: each interval becomes a start
 * and an end.
 */
import { type DataType, dataTypeOf } from "./data-type.ts";
import type { AnonymousSet, SetElement } from "./element.ts";
import type { Expression } from "./expression.ts";
import { VERDICT_TYPE, type WireElement, type WireSet } from "./object-codec.ts";
import type { NamedSet, SetSpec } from "./set.ts";
import type { SetFlag } from "./uapi.ts";
import {
	decodeComment,
	decodeSetUserData,
	encodeElementUserData,
	encodeSetUserData,
	type SetUserData,
} from "./user-data.ts";

/** An expression that the kernel refuses for elements. */
const NOT_A_COUNTER: Expression = { kind: "other", name: "cmp" };
/** The expression that each element of the set gets: a counter that starts at zero. */
const A_COUNTER: Expression = { kind: "other", name: "counter", data: new Uint8Array(0) };

/** The set itself, without elements. */
export function encodeSet(table: string, set: SetSpec, id: number): WireSet {
	const { name, key, data, flags = [], size, counters = false } = set;
	const all: SetFlag[] = [...flags, ...(data === undefined ? [] : (["map"] as const))];
	const fields = all.includes("concatenated")
		? key.type.parts?.map(({ bytes }) => ({ length: bytes }))
		: undefined;
	const description = {
		...(size === undefined ? {} : { size }),
		...(fields === undefined ? {} : { fields }),
	};
	return {
		table,
		name,
		flags: all,
		keyType: key.type.id,
		keyLength: key.type.bytes,
		...(data === undefined ? {} : encodeData(data === "verdict" ? data : data.type)),
		id,
		...(size === undefined && fields === undefined ? {} : { description }),
		userData: encodeSetUserData(set),
		...(counters === false ? {} : { expression: counters === true ? A_COUNTER : NOT_A_COUNTER }),
	};
}

function encodeData(data: DataType | "verdict"): Pick<WireSet, "dataType" | "dataLength"> {
	return data === "verdict"
		? { dataType: VERDICT_TYPE, dataLength: 0 }
		: { dataType: data.id, dataLength: data.bytes };
}

/** The kernel names the set; the rule of the same transaction refers to it by `id`. */
export function encodeAnonymousSet(
	table: string,
	{ key, data, elements }: AnonymousSet,
	id: number,
): { readonly set: WireSet; readonly elements: readonly WireElement[] } {
	const interval = elements.some(({ last }) => last !== undefined);
	const flags: SetFlag[] = ["anonymous", "constant", ...(interval ? (["interval"] as const) : [])];
	const encoded = encodeElements(elements, interval);
	const [first] = elements;
	let size = interval ? 2 * elements.length : elements.length;
	// Like nft: add an end element for the values below the first interval.
	if (interval && first?.key?.some((byte) => byte !== 0) === true) {
		encoded.unshift({ flags: ["interval end"], key: new Uint8Array(key.bytes) });
		size++;
	}
	const name = data === undefined ? "__set%d" : "__map%d";
	return {
		set: {
			table,
			name,
			flags: data === undefined ? flags : [...flags, "map"],
			keyType: key.id,
			keyLength: key.bytes,
			...(data === undefined ? {} : encodeData(data)),
			id,
			description: { size },
			userData: encodeSetUserData({ key: { type: key } }),
		},
		elements: encoded,
	};
}

/** `interval`: the set has this flag, and each element is a range or a single key. */
export function encodeElements(elements: readonly SetElement[], interval: boolean): WireElement[] {
	return elements.flatMap((one): WireElement[] => {
		if (!interval || one.key === undefined) return [encodeElement(one)];
		const next = successor(one.last ?? one.key);
		if (next === undefined) return [encodeElement(one, true)];
		return [encodeElement(one), { flags: ["interval end"], key: next }];
	});
}

/** For a set of concatenated ranges, whose elements hold both ends. */
export function encodeRangeElements(elements: readonly SetElement[]): WireElement[] {
	return elements.map((one) => {
		const keyEnd = one.last ?? one.key;
		return { ...encodeElement(one), ...(keyEnd === undefined ? {} : { keyEnd }) };
	});
}

function encodeElement({ key, data, counter, comment }: SetElement, openEnd = false): WireElement {
	return {
		...(key === undefined ? { flags: ["catch all"] as const } : { key }),
		...(data === undefined ? {} : { data }),
		...(comment === undefined && !openEnd ? {} : { userData: encodeElementUserData(comment, openEnd) }),
		...(counter === undefined ? {} : { expression: { kind: "counter", ...counter } }),
	};
}

/** The next key; undefined after the last one. */
function successor(key: Uint8Array): Uint8Array | undefined {
	return step(key, 1);
}

function predecessor(key: Uint8Array): Uint8Array | undefined {
	return step(key, -1);
}

function step(key: Uint8Array, by: 1 | -1): Uint8Array | undefined {
	const turns = by === 1 ? 0xff : 0;
	const next = Uint8Array.from(key);
	for (let at = next.length - 1; at >= 0; at--) {
		const byte = next[at] ?? 0;
		next[at] = (byte + by) & 0xff;
		if (byte !== turns) return next;
	}
	return undefined;
}

/** The set and its elements from a dump. The elements are sorted by key. */
export function decodeSet(wire: WireSet, dumped: readonly WireElement[]): NamedSet {
	const { flags = [], keyType = 0, keyLength = 0, description, userData, expression, expressions } = wire;
	const kept = decodeSetUserData(userData ?? new Uint8Array(0));
	const counts = expression?.kind === "counter" || (expressions ?? []).some(({ kind }) => kind === "counter");
	const data = decodeDataType(wire);
	return {
		name: wire.name,
		handle: wire.handle ?? 0n,
		key: {
			type: keyTypeOf(keyType, keyLength, kept),
			...(kept.key === undefined ? {} : { typeof: kept.key }),
		},
		...(data === undefined
			? {}
			: {
					data:
						data === "verdict"
							? data
							: { type: data, ...(kept.data === undefined ? {} : { typeof: kept.data }) },
				}),
		flags: flags.filter((one) => one !== "map"),
		...(description?.size === undefined || description.size === 0 ? {} : { size: description.size }),
		...(counts ? { counters: true } : {}),
		...(kept.comment === undefined ? {} : { comment: kept.comment }),
		elements: decodeElements(dumped, flags),
	};
}

export function decodeAnonymousSet(wire: WireSet, dumped: readonly WireElement[]): AnonymousSet {
	const { flags = [], keyType = 0, keyLength = 0, userData } = wire;
	const data = decodeDataType(wire);
	return {
		key: keyTypeOf(keyType, keyLength, decodeSetUserData(userData ?? new Uint8Array(0))),
		...(data === undefined ? {} : { data }),
		elements: decodeElements(dumped, flags),
	};
}

/** Only the user data says whether a number without a named type is in host order. */
function keyTypeOf(id: number, bytes: number, { keyOrder }: SetUserData): DataType {
	const type = dataTypeOf(id, bytes);
	return type.name === "integer" ? { ...type, order: keyOrder } : type;
}

function decodeDataType({ flags = [], dataType, dataLength = 0 }: WireSet): DataType | "verdict" | undefined {
	if (!flags.includes("map") || dataType === undefined) return undefined;
	return dataType === VERDICT_TYPE ? "verdict" : dataTypeOf(dataType, dataLength);
}

function decodeElements(dumped: readonly WireElement[], flags: readonly SetFlag[]): SetElement[] {
	const sorted = [...dumped].sort(byKey);
	if (!flags.includes("interval") || flags.includes("concatenated")) return sorted.map(decodeElement);
	const elements: SetElement[] = [];
	let open: SetElement | undefined;
	const close = (last: Uint8Array | undefined): void => {
		if (open?.key !== undefined && last !== undefined) {
			elements.push(Buffer.compare(last, open.key) === 0 ? open : { ...open, last });
		}
		open = undefined;
	};
	for (const one of sorted) {
		if (one.key === undefined) {
			elements.push(decodeElement(one));
			continue;
		}
		close(predecessor(one.key));
		open = one.flags?.includes("interval end") === true ? undefined : decodeElement(one);
	}
	close(open?.key === undefined ? undefined : new Uint8Array(open.key.length).fill(0xff));
	return elements;
}

/** Sorts by key; the end of an interval comes before the start of the next. */
function byKey(a: WireElement, b: WireElement): number {
	const order = Buffer.compare(a.key ?? new Uint8Array(0), b.key ?? new Uint8Array(0));
	const end = ({ flags }: WireElement): number => (flags?.includes("interval end") === true ? 0 : 1);
	return order === 0 ? end(a) - end(b) : order;
}

function decodeElement(wire: WireElement): SetElement {
	const { key, keyEnd, data, userData, expression, expressions = [], timeout, expiration, object } = wire;
	const inside = expression === undefined ? expressions : [expression];
	const counter = inside.find((one) => one.kind === "counter");
	const comment = userData === undefined ? undefined : decodeComment(userData);
	const more =
		timeout !== undefined ||
		expiration !== undefined ||
		object !== undefined ||
		inside.some(({ kind }) => kind !== "counter");
	return {
		...(key === undefined ? {} : { key }),
		...(keyEnd === undefined || (key !== undefined && Buffer.compare(key, keyEnd) === 0)
			? {}
			: { last: keyEnd }),
		...(data === undefined ? {} : { data: data instanceof Uint8Array ? data : { ...data } }),
		...(counter === undefined ? {} : { counter: { packets: counter.packets, bytes: counter.bytes } }),
		...(comment === undefined ? {} : { comment }),
		...(more ? { more: true } : {}),
	};
}
