/**
 * Encodes expressions as netlink attributes and decodes them: NFTA_EXPR_NAME, NFTA_EXPR_DATA and the
 * attributes of each kind.
 */
import { type AttributeWriter, HEADER_BYTES } from "./attribute-writer.ts";
import {
	attribute,
	attributes,
	be16,
	be32,
	be64,
	type Codec,
	eachAttribute,
	flags,
	named,
	presumed,
	raw,
	text,
	UnreadableError,
	u8,
	writeAttribute,
} from "./codec.ts";
import { anyData, valueData } from "./data-codec.ts";
import type { Verdict } from "./element.ts";
import type {
	Bitwise,
	ByteOrder,
	Compare,
	CounterExpression,
	Ct,
	Expression,
	ExtensionHeader,
	Fib,
	Hash,
	Limit,
	Log,
	Meta,
	MetaKey,
	MetaWrite,
	NumberGenerator,
	ObjectReference,
	PayloadBase,
	Range,
	Reject,
} from "./expression.ts";
import {
	BITWISE_OPERATIONS,
	COMPARISONS,
	CT_KEYS,
	EXTHDR_OPERATIONS,
	FIB_FLAGS,
	FIB_RESULTS,
	HASH_TYPES,
	LIMIT_TYPES,
	META_KEYS,
	NUMGEN_TYPES,
	OBJECT_TYPES,
	PAYLOAD_BASES,
	REJECT_TYPES,
} from "./uapi.ts";

const EXPR = { name: 1, data: 2 } as const;

/** What an attribute without a name here means is unknown: such an expression is kept as it came. */
const exactly = <T extends object>(table: Parameters<typeof attributes<T>>[0]): Codec<T> =>
	attributes<T>(table, { exact: true });

/** How a message refers to a lookup's set. An anonymous set also has its number in the transaction. */
export interface SetReference {
	readonly name: string;
	readonly id?: number;
}

interface WirePayload {
	readonly register?: number;
	readonly source?: number;
	readonly base: PayloadBase;
	readonly offset: number;
	readonly length: number;
	readonly checksumType: number;
	readonly checksumOffset: number;
	readonly checksumFlags: number;
}
const NFT_PAYLOAD_CSUM_INET = 1;
const NFT_PAYLOAD_L4CSUM_PSEUDOHDR = 1;
const payload = exactly<WirePayload>({
	register: attribute(1, be32),
	source: attribute(5, be32),
	base: attribute(2, named(PAYLOAD_BASES)),
	offset: attribute(3, be32),
	length: attribute(4, be32),
	checksumType: attribute(6, be32, 0),
	checksumOffset: attribute(7, be32, 0),
	checksumFlags: attribute(8, be32, 0),
});

interface WireMeta {
	readonly key: MetaKey;
	readonly register?: number;
	readonly source?: number;
}
const meta = exactly<WireMeta>({
	key: attribute(2, named(META_KEYS)),
	register: attribute(1, be32),
	source: attribute(3, be32),
});

const compare = exactly<Omit<Compare, "kind">>({
	register: attribute(1, be32),
	operator: attribute(2, named(COMPARISONS)),
	value: attribute(3, valueData),
});

const range = exactly<Omit<Range, "kind">>({
	register: attribute(1, be32),
	operator: attribute(2, named({ "==": 0, "!=": 1 })),
	first: attribute(3, valueData),
	last: attribute(4, valueData),
});

interface WireBitwise {
	readonly source: number;
	readonly register: number;
	readonly operation: keyof typeof BITWISE_OPERATIONS;
	readonly length: number;
	readonly mask?: Uint8Array;
	readonly xor?: Uint8Array;
	readonly bits?: Uint8Array;
}
const bitwise = exactly<WireBitwise>({
	source: attribute(1, be32),
	register: attribute(2, be32),
	/** Kernels before 5.6 have one operation and no attribute for it. */
	operation: presumed(6, named(BITWISE_OPERATIONS), "mask"),
	length: attribute(3, be32),
	mask: attribute(4, valueData),
	xor: attribute(5, valueData),
	bits: attribute(7, valueData),
});

const byteorder = exactly<Omit<ByteOrder, "kind">>({
	source: attribute(1, be32),
	register: attribute(2, be32),
	operation: attribute(3, named({ "to host": 0, "to network": 1 })),
	length: attribute(4, be32),
	size: attribute(5, be32),
});

interface WireLookup {
	readonly register: number;
	readonly destination?: number;
	readonly set: string;
	readonly setId?: number;
	readonly flags: number;
}
const NFT_LOOKUP_F_INV = 1;
const lookup = exactly<WireLookup>({
	register: attribute(2, be32),
	destination: attribute(3, be32),
	set: attribute(1, text),
	setId: attribute(4, be32),
	flags: attribute(5, be32, 0),
});

interface WireImmediate {
	readonly register: number;
	readonly data: Uint8Array | Verdict;
}
const immediate = exactly<WireImmediate>({
	register: attribute(1, be32),
	data: attribute(2, anyData),
});

const counter = exactly<Omit<CounterExpression, "kind">>({
	bytes: attribute(1, be64),
	packets: attribute(2, be64),
});

const fib = exactly<Omit<Fib, "kind">>({
	flags: attribute(3, flags(FIB_FLAGS)),
	result: attribute(2, named(FIB_RESULTS)),
	register: attribute(1, be32),
});

interface WireExtensionHeader extends Omit<ExtensionHeader, "kind" | "present"> {
	readonly flags: number;
}
const NFT_EXTHDR_F_PRESENT = 1;
const exthdr = exactly<WireExtensionHeader>({
	register: attribute(1, be32),
	type: attribute(2, u8),
	offset: attribute(3, be32),
	length: attribute(4, be32),
	operation: presumed(6, named(EXTHDR_OPERATIONS), "ipv6"),
	flags: presumed(5, be32, 0),
});

const ct = exactly<Omit<Ct, "kind">>({
	key: attribute(2, named(CT_KEYS)),
	register: attribute(1, be32),
	direction: attribute(3, named({ original: 0, reply: 1 }, u8)),
});

interface WireLimit extends Omit<Limit, "kind" | "over"> {
	readonly flags: number;
}
const NFT_LIMIT_F_INV = 1;
const limit = exactly<WireLimit>({
	rate: attribute(1, be64),
	perSeconds: attribute(2, be64),
	burst: attribute(3, be32),
	type: attribute(4, named(LIMIT_TYPES)),
	flags: presumed(5, be32, 0),
});

const log = exactly<Omit<Log, "kind">>({
	prefix: attribute(2, text),
	group: attribute(1, be16),
	snapLength: attribute(3, be32),
	queueThreshold: attribute(4, be16),
	level: attribute(5, be32),
	flags: attribute(6, be32),
});

const object = exactly<Omit<ObjectReference, "kind">>({
	type: attribute(1, named(OBJECT_TYPES)),
	name: attribute(2, text),
});

const hash = exactly<Omit<Hash, "kind">>({
	source: attribute(1, be32),
	register: attribute(2, be32),
	length: attribute(3, be32),
	modulus: attribute(4, be32),
	seed: attribute(5, be32),
	offset: presumed(6, be32, 0),
	type: presumed(7, named(HASH_TYPES), "jhash"),
});

const numgen = exactly<Omit<NumberGenerator, "kind">>({
	register: attribute(1, be32),
	modulus: attribute(2, be32),
	type: attribute(3, named(NUMGEN_TYPES)),
	offset: attribute(4, be32, 0),
});

const reject = exactly<Omit<Reject, "kind">>({
	type: attribute(1, named(REJECT_TYPES)),
	code: attribute(2, u8),
});

interface WireXtables {
	readonly name: string;
	readonly revision: number;
	readonly info: Uint8Array;
}
const xtables = exactly<WireXtables>({
	name: attribute(1, text),
	revision: attribute(2, be32),
	info: attribute(3, raw),
});

/** The kernel's name of an expression, and its data. */
interface Inside<W> {
	readonly name: string;
	readonly codec: Codec<W>;
	readonly value: W;
}

function inside<W>(name: string, codec: Codec<W>, value: W): Inside<unknown> {
	return { name, codec: codec as Codec<unknown>, value }; // `value` has the type of `codec`
}

/** `setOf` returns how the message refers to a lookup's set. */
export function writeExpression(
	writer: AttributeWriter,
	expression: Expression,
	setOf: (set: (Expression & { kind: "lookup" })["set"]) => SetReference,
): void {
	if (expression.kind === "other") {
		writeAttribute(writer, EXPR.name, text, expression.name);
		if (expression.data !== undefined) {
			const begun = writer.begin(EXPR.data, true);
			writer.raw(expression.data);
			writer.end(begun);
		}
		return;
	}
	const { name, codec, value } = insideOf(expression, setOf);
	writeAttribute(writer, EXPR.name, text, name);
	writeAttribute(writer, EXPR.data, codec, value);
}

function insideOf(
	expression: Exclude<Expression, { kind: "other" }>,
	setOf: (set: (Expression & { kind: "lookup" })["set"]) => SetReference,
): Inside<unknown> {
	switch (expression.kind) {
		case "payload":
			return inside("payload", payload, {
				...expression,
				checksumType: 0,
				checksumOffset: 0,
				checksumFlags: 0,
			});
		case "payload write": {
			const { base, offset, length, register, checksum, pseudoHeader } = expression;
			return inside("payload", payload, {
				source: register,
				base,
				offset,
				length,
				checksumType: checksum === undefined ? 0 : NFT_PAYLOAD_CSUM_INET,
				checksumOffset: checksum ?? 0,
				checksumFlags: pseudoHeader ? NFT_PAYLOAD_L4CSUM_PSEUDOHDR : 0,
			});
		}
		case "meta":
			return inside("meta", meta, { key: expression.key, register: expression.register });
		case "meta write":
			return inside("meta", meta, { key: expression.key, source: expression.register });
		case "compare":
			return inside("cmp", compare, expression);
		case "range":
			return inside("range", range, expression);
		case "bitwise":
			return inside("bitwise", bitwise, expression as WireBitwise); // each operation has its own operands
		case "byteorder":
			return inside("byteorder", byteorder, expression);
		case "lookup": {
			const { name, id } = setOf(expression.set);
			return inside("lookup", lookup, {
				register: expression.register,
				...(expression.destination === undefined ? {} : { destination: expression.destination }),
				set: name,
				...(id === undefined ? {} : { setId: id }),
				flags: expression.negated ? NFT_LOOKUP_F_INV : 0,
			});
		}
		case "immediate":
			return inside("immediate", immediate, { register: expression.register, data: expression.value });
		case "verdict":
			return inside("immediate", immediate, { register: 0, data: expression });
		case "counter":
			return inside("counter", counter, expression);
		case "fib":
			return inside("fib", fib, expression);
		case "exthdr":
			return inside("exthdr", exthdr, {
				...expression,
				flags: expression.present ? NFT_EXTHDR_F_PRESENT : 0,
			});
		case "ct":
			return inside("ct", ct, expression);
		case "limit":
			return inside("limit", limit, { ...expression, flags: expression.over ? NFT_LIMIT_F_INV : 0 });
		case "log":
			return inside("log", log, expression);
		case "object":
			return inside("objref", object, expression);
		case "hash":
			return inside("hash", hash, expression);
		case "numgen":
			return inside("numgen", numgen, expression);
		case "reject":
			return inside("reject", reject, expression);
		case "match":
		case "target":
			return inside(expression.kind, xtables, expression);
		default:
			throw new RangeError(`nf_tables has no expression of kind ${String((expression as Expression).kind)}`);
	}
}

/** Reads the data of an expression of one kind. Throws UnreadableError for a form that it does not know. */
type Reader = (bytes: Buffer, from: number, to: number) => Expression;

const READERS: { readonly [name: string]: Reader } = {
	payload: (...at) => {
		const { register, source, base, offset, length, ...checksum } = payload.read(...at);
		if (register !== undefined) return { kind: "payload", base, offset, length, register };
		const { checksumType, checksumOffset, checksumFlags } = checksum;
		if (source === undefined || checksumType > 1 || checksumFlags > 1) throw unknown("payload");
		return {
			kind: "payload write",
			base,
			offset,
			length,
			register: source,
			...(checksumType === 0 ? {} : { checksum: checksumOffset }),
			pseudoHeader: checksumFlags === NFT_PAYLOAD_L4CSUM_PSEUDOHDR,
		};
	},
	meta: (...at): Meta | MetaWrite => {
		const { key, register, source } = meta.read(...at);
		if (register !== undefined) return { kind: "meta", key, register };
		if (source === undefined) throw unknown("meta");
		return { kind: "meta write", key, register: source };
	},
	cmp: (...at) => ({ kind: "compare", ...compare.read(...at) }),
	range: (...at) => ({ kind: "range", ...range.read(...at) }),
	bitwise: (...at): Bitwise => {
		const { source, register, length, operation, mask, xor, bits } = bitwise.read(...at);
		const common = { kind: "bitwise", source, register, length } as const;
		if (operation === "mask" && mask !== undefined && xor !== undefined) {
			return { ...common, operation, mask, xor };
		}
		if (operation === "mask" || bits === undefined) throw unknown("bitwise");
		return { ...common, operation, bits };
	},
	byteorder: (...at) => ({ kind: "byteorder", ...byteorder.read(...at) }),
	lookup: (...at) => {
		const { register, destination, set, flags: inverted } = lookup.read(...at);
		return {
			kind: "lookup",
			set,
			register,
			...(destination === undefined ? {} : { destination }),
			negated: (inverted & NFT_LOOKUP_F_INV) !== 0,
		};
	},
	immediate: (...at) => {
		const { register, data } = immediate.read(...at);
		return data instanceof Uint8Array
			? { kind: "immediate", register, value: data }
			: { kind: "verdict", ...data };
	},
	counter: (...at) => ({ kind: "counter", ...counter.read(...at) }),
	fib: (...at) => ({ kind: "fib", ...fib.read(...at) }),
	exthdr: (...at) => {
		const { flags: set, ...header } = exthdr.read(...at);
		if (header.register === undefined) throw unknown("exthdr");
		return { kind: "exthdr", ...header, present: (set & NFT_EXTHDR_F_PRESENT) !== 0 };
	},
	ct: (...at) => {
		const read = ct.read(...at);
		if (read.register === undefined) throw unknown("ct");
		return { kind: "ct", ...read };
	},
	limit: (...at) => {
		const { flags: set, ...rest } = limit.read(...at);
		return { kind: "limit", ...rest, over: (set & NFT_LIMIT_F_INV) !== 0 };
	},
	log: (...at) => ({ kind: "log", ...log.read(...at) }),
	objref: (...at) => {
		const read = object.read(...at);
		if (read.name === undefined) throw unknown("objref");
		return { kind: "object", ...read };
	},
	hash: (...at) => ({ kind: "hash", ...hash.read(...at) }),
	numgen: (...at) => ({ kind: "numgen", ...numgen.read(...at) }),
	reject: (...at) => ({ kind: "reject", ...reject.read(...at) }),
	match: (...at) => ({ kind: "match", ...xtables.read(...at) }),
	target: (...at) => ({ kind: "target", ...xtables.read(...at) }),
};

function unknown(name: string): UnreadableError {
	return new UnreadableError(`a form of ${name} that this package does not know`);
}

/**
 * Reads expressions and returns the same value for the same bytes: the rules of a chain mostly have the same
 * expressions.
 */
export class ExpressionReader {
	readonly #known = new Map<string, Expression>();

	/**
	 * Bytes `from`–`to` hold NFTA_EXPR_NAME and NFTA_EXPR_DATA. Throws UnreadableError if there is no name.
	 */
	read(bytes: Buffer, from: number, to: number): Expression {
		const key = bytes.toString("latin1", from, to);
		const known = this.#known.get(key);
		if (known !== undefined) return known;
		const expression = readExpression(bytes, from, to);
		// Each counter has its own numbers.
		if (expression.kind !== "counter") this.#known.set(key, expression);
		return expression;
	}
}

export function readExpression(bytes: Buffer, from: number, to: number): Expression {
	let name: string | undefined;
	let [first, last] = [-1, -1];
	eachAttribute(bytes, from, to, (type, begin, end) => {
		if (type === EXPR.name) name = text.read(bytes, begin, end);
		else if (type === EXPR.data) [first, last] = [begin, end];
	});
	if (name === undefined) throw new UnreadableError("an expression without a name");
	if (first < 0) return { kind: "other", name };
	try {
		const read = READERS[name];
		if (read !== undefined) return read(bytes, first, last);
	} catch (error) {
		if (!(error instanceof UnreadableError)) throw error;
	}
	return { kind: "other", name, data: acceptable(name, bytes, first, last) };
}

/** NFTA_EXTHDR_* and NFTA_OSF_FLAGS. */
const EXTHDR = { destination: 1, offset: 3, length: 4, flags: 5, source: 7 } as const;
const OSF_FLAGS = 3;

/**
 * The attributes without those that the kernel sends but does not accept (nft_exthdr_tcp_set_init,
 * nft_exthdr_tcp_strip_init, nft_osf_init).
 */
function acceptable(name: string, bytes: Buffer, from: number, to: number): Uint8Array {
	if (name !== "exthdr" && name !== "osf") return raw.read(bytes, from, to);
	const unwanted = new Set<number>();
	const types = new Set<number>();
	eachAttribute(bytes, from, to, (type, first, last) => {
		types.add(type);
		if (name === "osf" && type === OSF_FLAGS && be32.read(bytes, first, last) === 0) unwanted.add(type);
	});
	if (name === "exthdr" && !types.has(EXTHDR.destination)) {
		unwanted.add(EXTHDR.flags);
		if (!types.has(EXTHDR.source)) unwanted.add(EXTHDR.offset).add(EXTHDR.length);
	}
	if (unwanted.size === 0) return raw.read(bytes, from, to);
	const kept: Uint8Array[] = [];
	eachAttribute(bytes, from, to, (type, first, last) => {
		const padded = Math.min(to, first + ((last - first + 3) & ~3));
		if (!unwanted.has(type)) kept.push(bytes.subarray(first - HEADER_BYTES, padded));
	});
	return new Uint8Array(Buffer.concat(kept));
}

/** An attribute that contains one expression. */
export const expressionInside: Codec<Expression> = {
	nested: true,
	write: (writer, expression) =>
		writeExpression(writer, expression, (set) => {
			if (typeof set === "string") return { name: set };
			throw new RangeError("a set that belongs to a rule is only made with a rule");
		}),
	read: readExpression,
};
