/**
 * Codecs for the netlink attributes of nf_tables: each declares once how a value is written into an
 * attribute's payload and read back. {@link attributes} makes a codec from a table of named attributes and
 * writes them in the table's order.
 */
import { type AttributeWriter, HEADER_BYTES } from "./attribute-writer.ts";

const NLA_TYPE_MASK = 0x3fff;

/**
 * The kernel sent something that this package cannot read: a length that does not fit, or a number without a
 * name here.
 */
export class UnreadableError extends Error {
	override readonly name = "UnreadableError";
}

export interface Codec<T> {
	write(writer: AttributeWriter, value: T): void;
	/** Throws {@link UnreadableError}. */
	read(bytes: Buffer, from: number, to: number): T;
	/** The payload consists of attributes. */
	readonly nested?: boolean;
	/** The names of nested attributes, by number. */
	readonly names?: ReadonlyMap<number, string>;
}

/** Calls `visit` with each attribute's type and the bounds of its payload. Throws {@link UnreadableError}. */
export function eachAttribute(
	bytes: Buffer,
	from: number,
	to: number,
	visit: (type: number, from: number, to: number) => void,
): void {
	for (let at = from; at + HEADER_BYTES <= to; ) {
		const length = u16At(bytes, at);
		if (length < HEADER_BYTES || at + length > to) {
			throw new UnreadableError(`an attribute of ${length} bytes at byte ${at} of ${to}`);
		}
		visit(u16At(bytes, at + 2) & NLA_TYPE_MASK, at + HEADER_BYTES, at + length);
		at += (length + 3) & ~3;
	}
}

/** In host order. Every attribute has two, and the methods of Buffer are calls of JavaScript. */
function u16At(bytes: Buffer, at: number): number {
	return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

function room(size: number, from: number, to: number): void {
	if (to - from < size) throw new UnreadableError(`${to - from} bytes where ${size} are due`);
}

export const u8: Codec<number> = {
	write: (writer, value) => writer.u8(value),
	read(bytes, from, to) {
		room(1, from, to);
		return bytes.readUInt8(from);
	},
};

export const be16: Codec<number> = {
	write: (writer, value) => writer.be16(value),
	read(bytes, from, to) {
		room(2, from, to);
		return bytes.readUInt16BE(from);
	},
};

export const be32: Codec<number> = {
	write: (writer, value) => writer.be32(value),
	read(bytes, from, to) {
		room(4, from, to);
		return bytes.readUInt32BE(from);
	},
};

export const signedBe32: Codec<number> = {
	write: (writer, value) => writer.signedBe32(value),
	read(bytes, from, to) {
		room(4, from, to);
		return bytes.readInt32BE(from);
	},
};

export const be64: Codec<bigint> = {
	write: (writer, value) => writer.be64(value),
	read(bytes, from, to) {
		room(8, from, to);
		return bytes.readBigUInt64BE(from);
	},
};

/** Text that ends at its first zero or at the end of its attribute. */
export const text: Codec<string> = {
	write: (writer, value) => writer.text(value),
	read(bytes, from, to) {
		const zero = bytes.indexOf(0, from);
		return bytes.toString("utf8", from, zero < 0 || zero > to ? to : zero);
	},
};

/** A copy of the payload. */
export const raw: Codec<Uint8Array> = {
	write: (writer, value) => writer.raw(value),
	read: (bytes, from, to) => new Uint8Array(bytes.subarray(from, to)),
};

/** The number of a name. Throws RangeError, with the names that there are. */
export function numberOf(names: Readonly<Record<string, number>>, name: string): number {
	const number = Object.hasOwn(names, name) ? names[name] : undefined;
	if (number === undefined) throw new RangeError(`${name} is none of ${Object.keys(names).join(", ")}`);
	return number;
}

/** A number with a name. Reading an unnamed number throws {@link UnreadableError}. */
export function named<const N extends Readonly<Record<string, number>>>(
	names: N,
	number: Codec<number> = be32,
): Codec<keyof N & string> {
	let byNumber: ReadonlyMap<number, keyof N & string> | undefined;
	return {
		write: (writer, value) => number.write(writer, numberOf(names, value)),
		read(bytes, from, to) {
			const value = number.read(bytes, from, to);
			byNumber ??= new Map(Object.entries(names).map(([name, one]) => [one, name]));
			const name = byNumber.get(value);
			if (name === undefined) throw new UnreadableError(`number ${value} has no name`);
			return name;
		},
	};
}

/** A bit mask as the list of the names of its set bits, lowest first. Bits without a name are skipped. */
export function knownFlags<const N extends Readonly<Record<string, number>>>(
	names: N,
): Codec<readonly (keyof N & string)[]> {
	const exact = flags(names);
	return {
		write: exact.write,
		read(bytes, from, to) {
			const known = Object.values(names).reduce((sum, bit) => sum | bit, 0);
			const masked = Buffer.alloc(4);
			masked.writeUInt32BE((be32.read(bytes, from, to) & known) >>> 0);
			return exact.read(masked, 0, 4);
		},
	};
}

/**
 * A bit mask as the list of the names of its set bits, lowest first. Throws {@link UnreadableError} for a bit
 * without a name.
 */
export function flags<const N extends Readonly<Record<string, number>>>(
	names: N,
	number: Codec<number> = be32,
): Codec<readonly (keyof N & string)[]> {
	let all: readonly (keyof N & string)[] | undefined;
	return {
		write: (writer, value) =>
			number.write(
				writer,
				value.reduce((sum, name) => sum | numberOf(names, name), 0),
			),
		read(bytes, from, to) {
			const value = number.read(bytes, from, to);
			all ??= Object.keys(names).sort((a, b) => (names[a] ?? 0) - (names[b] ?? 0));
			const set = all.filter((name) => (value & (names[name] ?? 0)) !== 0);
			const known = set.reduce((sum, name) => sum | (names[name] ?? 0), 0);
			if (known !== value) throw new UnreadableError(`flags 0x${(value & ~known).toString(16)} have no name`);
			return set;
		},
	};
}

/** One named attribute: its number (NFTA_…) and the codec of its payload. */
export interface Attribute<V> {
	readonly type: number;
	readonly codec: Codec<V>;
	/** The value to read when the attribute is absent. */
	readonly absent?: V;
	/** Write the attribute even if its value equals `absent`. */
	readonly always?: boolean;
}

/** If `absent` is given, a value equal to it is not written, and an absent attribute reads as it. */
export function attribute<V>(type: number, codec: Codec<V>, absent?: V): Attribute<V> {
	return absent === undefined ? { type, codec } : { type, codec, absent };
}

/** Always written, as nft does. Older kernels do not send it and mean `absent`. */
export function presumed<V>(type: number, codec: Codec<V>, absent: V): Attribute<V> {
	return { type, codec, absent, always: true };
}

type Attributes<T> = { readonly [K in keyof T]-?: Attribute<Exclude<T[K], undefined>> };

/**
 * Attributes by name. Undefined values are not written. When an attribute is read that `table` does not list,
 * it is skipped, or with `exact` an UnreadableError.
 */
export function attributes<T extends object>(
	table: Attributes<T>,
	{ exact = false }: { readonly exact?: boolean } = {},
): Codec<T> {
	// Each part is made when it is first needed: a command uses a third of the tables.
	let entries: readonly (readonly [name: string, Attribute<unknown>])[] | undefined;
	const all = (): NonNullable<typeof entries> => {
		entries ??= Object.entries<Attribute<unknown>>(table);
		return entries;
	};
	let reading: { readonly byType: ReadonlyMap<number, Named>; readonly absent: object } | undefined;
	return {
		nested: true,
		get names() {
			return new Map(all().map(([name, { type }]) => [type, name]));
		},
		write(writer, value) {
			const given: { readonly [name: string]: unknown } = value as never; // the keys of `value` are those of the table
			let writing = "";
			try {
				for (const [name, { type, codec, absent, always }] of all()) {
					const one = given[name];
					if (one === undefined || (one === absent && always !== true)) continue;
					writing = name;
					writeAttribute(writer, type, codec, one);
				}
			} catch (error) {
				if (!(error instanceof RangeError)) throw error;
				throw new RangeError(`${writing}: ${error.message}`, { cause: error });
			}
		},
		read(bytes, from, to) {
			reading ??= readingOf(all());
			const { byType, absent } = reading;
			const value: { [name: string]: unknown } = { ...absent };
			eachAttribute(bytes, from, to, (type, first, last) => {
				const one = byType.get(type);
				if (one !== undefined) value[one.name] = one.codec.read(bytes, first, last);
				else if (exact) throw new UnreadableError(`attribute ${type}, which has no name`);
			});
			return value as T; // each attribute's codec returns the type that the table declares
		},
	};
}

interface Named {
	readonly name: string;
	readonly codec: Codec<unknown>;
}

/** The attributes by number, and the values of those that are absent. */
function readingOf(entries: readonly (readonly [name: string, Attribute<unknown>])[]): {
	readonly byType: ReadonlyMap<number, Named>;
	readonly absent: object;
} {
	return {
		byType: new Map(entries.map(([name, { type, codec }]) => [type, { name, codec }])),
		absent: Object.fromEntries(
			entries.flatMap(([name, { absent }]) => (absent === undefined ? [] : [[name, absent]])),
		),
	};
}

/** One attribute with its header and padding. */
export function writeAttribute<V>(writer: AttributeWriter, type: number, codec: Codec<V>, value: V): void {
	const begun = writer.begin(type, codec.nested === true);
	codec.write(writer, value);
	writer.end(begun);
}

/** A codec that converts the values of another codec for the same attributes. */
export function mapped<T, W>(wire: Codec<W>, toWire: (value: T) => W, fromWire: (value: W) => T): Codec<T> {
	return {
		...(wire.nested === true ? { nested: true } : {}),
		write: (writer, value) => wire.write(writer, toWire(value)),
		read: (bytes, from, to) => fromWire(wire.read(bytes, from, to)),
	};
}

/** Any number of attributes of one type, in order. */
export function listOf<V>(type: number, codec: Codec<V>): Codec<readonly V[]> {
	return {
		nested: true,
		write(writer, values) {
			for (const value of values) writeAttribute(writer, type, codec, value);
		},
		read(bytes, from, to) {
			const values: V[] = [];
			eachAttribute(bytes, from, to, (_, first, last) => values.push(codec.read(bytes, first, last)));
			return values;
		},
	};
}
