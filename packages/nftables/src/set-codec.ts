/**
 * Converts sets and elements between their values and the kernel's attributes: each interval becomes a start
 * and an end.
 */
import { sameBytes } from "./bytes.ts";
import { type DataType, dataTypeOf, partsOf } from "./data-type.ts";
import type { AnonymousSet, SetElement } from "./element.ts";
import type { Expression } from "./expression.ts";
import { VERDICT_TYPE, type WireElement, type WireSet } from "./object-codec.ts";
import type { NamedSet, SetSpec } from "./set.ts";
import { OBJECT_NAMES, OBJECT_TYPES, type SetFlag } from "./uapi.ts";
import {
	decodeComment,
	decodeSetUserData,
	encodeElementUserData,
	encodeSetUserData,
	type SetUserData,
} from "./user-data.ts";

/** NFT_SET_POL_MEMORY */
const MEMORY = 1;
/** An expression that the kernel refuses for elements. */
const NOT_A_COUNTER: Expression = { kind: "other", name: "cmp" };
/** The expression that each element of the set gets: a counter that starts at zero. */
const A_COUNTER: Expression = { kind: "other", name: "counter", data: new Uint8Array(0) };

/** The set itself, without elements. */
export function encodeSet(table: string, set: SetSpec, id: number): WireSet {
	const { name, key, data, flags = [], size, counters = false, timeout, gcInterval, policy, object } = set;
	const all: SetFlag[] = [...flags, ...(data === undefined ? [] : (["map"] as const))];
	const fields = all.includes("concatenated") ? fieldsOf(key.type) : undefined;
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
		...(timeout === undefined ? {} : { timeout }),
		...(gcInterval === undefined ? {} : { gcInterval }),
		...(policy === undefined ? {} : { policy: MEMORY }),
		...(object === undefined ? {} : { objectType: OBJECT_TYPES[object] }),
		userData: set.userData ?? encodeSetUserData(set),
		...(counters === false ? {} : { expression: counters === true ? A_COUNTER : NOT_A_COUNTER }),
	};
}

/** The parts of a concatenation, whose ranges the kernel compares one by one. */
function fieldsOf({ parts }: DataType): readonly { readonly length: number }[] | undefined {
	return parts?.map(({ bytes }) => ({ length: bytes }));
}

function encodeData(data: DataType | "verdict"): Pick<WireSet, "dataType" | "dataLength"> {
	return data === "verdict"
		? { dataType: VERDICT_TYPE, dataLength: 0 }
		: { dataType: data.id, dataLength: data.bytes };
}

/** The kernel names the set; the rule of the same transaction refers to it by `id`. */
export function encodeAnonymousSet(
	table: string,
	{ key, data, elements, userData }: AnonymousSet,
	id: number,
): { readonly set: WireSet; readonly elements: readonly WireElement[] } {
	const dataType = data === undefined || data === "verdict" ? undefined : data;
	for (const element of elements) checkElement(element, key, dataType);
	const interval = elements.some(({ last }) => last !== undefined);
	const fields = interval ? fieldsOf(key) : undefined;
	const flags: SetFlag[] = [
		"anonymous",
		"constant",
		...(interval ? (["interval"] as const) : []),
		...(fields === undefined ? [] : (["concatenated"] as const)),
	];
	const isPlain = interval && fields === undefined;
	const encoded = fields === undefined ? encodeElements(elements, interval) : encodeRangeElements(elements);
	const [first] = elements;
	let size = isPlain ? 2 * elements.length : elements.length;
	// Like nft: add an end element for the values below the first interval.
	if (isPlain && first?.key?.some((byte) => byte !== 0) === true) {
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
			description: { size, ...(fields === undefined ? {} : { fields }) },
			userData: userData ?? encodeSetUserData({ key: { type: key } }),
		},
		elements: encoded,
	};
}

/** Throws RangeError for elements that the set cannot have, some of which the kernel would take for others. */
export function checkElements(
	elements: readonly SetElement[],
	{ key: { type }, data, flags = [] }: Pick<SetSpec, "key" | "data" | "flags">,
): void {
	const dataType = data === undefined || data === "verdict" ? undefined : data.type;
	for (const element of elements) {
		if (element.last !== undefined && !flags.includes("interval")) {
			throw new RangeError("a range needs a set with the flag interval");
		}
		checkElement(element, type, dataType);
	}
}

function checkElement({ key, last, data }: SetElement, type: DataType, dataType: DataType | undefined): void {
	for (const bytes of [key, last]) {
		if (bytes !== undefined && bytes.length !== type.bytes) {
			throw new RangeError(`a key of ${bytes.length} bytes, where ${type.name} has ${type.bytes}`);
		}
	}
	if (key !== undefined && last !== undefined && isReversed(key, last, type)) {
		throw new RangeError(`the range ${hex(key)}-${hex(last)} ends before it begins`);
	}
	if (data instanceof Uint8Array && dataType !== undefined && data.length !== dataType.bytes) {
		throw new RangeError(`data of ${data.length} bytes, where ${dataType.name} has ${dataType.bytes}`);
	}
}

function isReversed(key: Uint8Array, last: Uint8Array, type: DataType): boolean {
	const ends = partsOf(last, type);
	return partsOf(key, type).some(
		({ bytes }, index) => Buffer.compare(ends[index]?.bytes ?? bytes, bytes) < 0,
	);
}

function hex(bytes: Uint8Array): string {
	return Buffer.from(bytes).toString("hex");
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

function encodeElement(
	{ key, data, counter, comment, object, timeout, expires }: SetElement,
	openEnd = false,
): WireElement {
	return {
		...(key === undefined ? { flags: ["catch all"] as const } : { key }),
		...(data === undefined ? {} : { data }),
		...(comment === undefined && !openEnd ? {} : { userData: encodeElementUserData(comment, openEnd) }),
		...(counter === undefined ? {} : { expression: { kind: "counter", ...counter } }),
		...(object === undefined ? {} : { object }),
		...(timeout === undefined ? {} : { timeout }),
		...(expires === undefined ? {} : { expiration: expires }),
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
	const { name, handle = 0n, flags = [], userData } = wire;
	const spec = decodeSpec(wire, decodeSetUserData(userData ?? new Uint8Array(0)));
	const set = {
		...spec,
		name,
		handle,
		flags: flags.filter((one) => one !== "map"),
		elements: decodeElements(dumped, flags),
	};
	return { ...set, ...ownUserData(userData, spec) };
}

function decodeSpec(
	wire: WireSet,
	kept: SetUserData,
): Omit<NamedSet, "name" | "handle" | "flags" | "elements"> {
	const { description, timeout, gcInterval, policy } = wire;
	const each = wire.expression === undefined ? (wire.expressions ?? []) : [wire.expression];
	const data = decodeDataType(wire);
	const object = OBJECT_NAMES.get(wire.objectType ?? 0);
	return {
		key: {
			type: keyTypeOf(wire, kept),
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
		...(object === undefined ? {} : { object }),
		...(description?.size === undefined || description.size === 0 ? {} : { size: description.size }),
		...(timeout === undefined || timeout === 0n ? {} : { timeout }),
		...(gcInterval === undefined || gcInterval === 0 ? {} : { gcInterval }),
		...(policy === MEMORY ? { policy: "memory" } : {}),
		...(kept.autoMerge === true ? { autoMerge: true } : {}),
		...(each.some(({ kind }) => kind === "counter") ? { counters: true } : {}),
		...(each.some(({ kind }) => kind !== "counter") ? { more: true } : {}),
		...(kept.comment === undefined ? {} : { comment: kept.comment }),
	};
}

/** The user data, unless the rest of the definition says the same. */
function ownUserData(
	read: Uint8Array | undefined,
	spec: Parameters<typeof encodeSetUserData>[0],
): { readonly userData?: Uint8Array } {
	return read === undefined || sameBytes(read, encodeSetUserData(spec)) ? {} : { userData: read };
}

export function decodeAnonymousSet(wire: WireSet, dumped: readonly WireElement[]): AnonymousSet {
	const { flags = [], userData } = wire;
	const data = decodeDataType(wire);
	const key = keyTypeOf(wire, decodeSetUserData(userData ?? new Uint8Array(0)));
	return {
		key,
		...(data === undefined ? {} : { data }),
		elements: decodeElements(dumped, flags),
		...ownUserData(userData, { key: { type: key } }),
	};
}

/**
 * Only the user data says whether a number without a named type is in host order. The keys of a set of ranges
 * are always in network order: the kernel compares their bytes from first to last.
 */
function keyTypeOf({ keyType = 0, keyLength = 0, flags = [] }: WireSet, { keyOrder }: SetUserData): DataType {
	const type = dataTypeOf(keyType, keyLength);
	const own = type.name === "integer" ? (keyOrder ?? type.order) : type.order;
	const order = flags.includes("interval") ? "network" : own;
	return type.parts !== undefined || type.order === order ? type : { ...type, order };
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
	const more = inside.some(({ kind }) => kind !== "counter");
	return {
		...(key === undefined ? {} : { key }),
		...(keyEnd === undefined || (key !== undefined && Buffer.compare(key, keyEnd) === 0)
			? {}
			: { last: keyEnd }),
		...(data === undefined ? {} : { data: data instanceof Uint8Array ? data : { ...data } }),
		...(counter === undefined ? {} : { counter: { packets: counter.packets, bytes: counter.bytes } }),
		...(object === undefined ? {} : { object }),
		...(timeout === undefined || timeout === 0n ? {} : { timeout }),
		...(expiration === undefined || expiration === 0n ? {} : { expires: expiration }),
		...(comment === undefined ? {} : { comment }),
		...(more ? { more: true } : {}),
	};
}
