/** What packets change of a table that nobody changes: its counters, read out of messages of which nothing else is read. */
import { be64, eachAttribute, text, UnreadableError } from "./codec.ts";
import type { Counter } from "./element.ts";
import { NFGENMSG } from "./uapi.ts";

/** Numbers of one table. */
export interface TableCounters {
	/** Of each rule that has a counter, by its handle: the first that it has. */
	readonly rules: ReadonlyMap<bigint, Counter>;
	/** Of each element that has one, by the name of its set and {@link elementKey}. */
	readonly elements: ReadonlyMap<string, ReadonlyMap<string, Counter>>;
}

/** A key of a set as a key of a map. */
export function elementKey(key: Uint8Array): string {
	return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

/** NFTA_RULE_*, NFTA_LIST_*, NFTA_EXPR_*, NFTA_COUNTER_* of include/uapi/linux/netfilter/nf_tables.h. */
const RULE = { table: 1, handle: 3, expressions: 4 } as const;
const EXPRESSION = { data: 2 } as const;
const COUNTER = { bytes: 1, packets: 2 } as const;
const HEADER_BYTES = 4;
/** `counter`, as two numbers: comparing texts would take as long as all the rest. */
const NAME = Buffer.from("counter\0");
const [NAME_BEGIN, NAME_END] = [NAME.readUInt32LE(0), NAME.readUInt32LE(4)];

/** Undefined for a rule without a counter. Throws UnreadableError. */
export function ruleCounter(
	message: Buffer,
): { readonly table: string; readonly handle: bigint; readonly counter: Counter } | undefined {
	let table = "";
	let handle: bigint | undefined;
	let counter: Counter | undefined;
	eachAttribute(message, NFGENMSG.size, message.length, (type, from, to) => {
		if (type === RULE.table) table = text.read(message, from, to);
		else if (type === RULE.handle) handle = be64.read(message, from, to);
		else if (type === RULE.expressions) counter = firstCounter(message, from, to);
	});
	return handle === undefined || counter === undefined ? undefined : { table, handle, counter };
}

/** Of a list of expressions. */
function firstCounter(bytes: Buffer, from: number, to: number): Counter | undefined {
	for (let at = from; at + HEADER_BYTES <= to; ) {
		const length = bytes.readUInt16LE(at);
		if (length < HEADER_BYTES || at + length > to)
			throw new UnreadableError("an expression that does not fit");
		// The name comes first, and its attribute is that of a text.
		const name = at + 2 * HEADER_BYTES;
		const fits = name + NAME.length <= at + length;
		if (fits && bytes.readUInt32LE(name) === NAME_BEGIN && bytes.readUInt32LE(name + 4) === NAME_END) {
			return counterIn(bytes, at + HEADER_BYTES, at + length);
		}
		at += (length + 3) & ~3;
	}
	return undefined;
}

function counterIn(bytes: Buffer, from: number, to: number): Counter {
	let [packets, counted] = [0n, 0n];
	eachAttribute(bytes, from, to, (type, begin, end) => {
		if (type !== EXPRESSION.data) return;
		eachAttribute(bytes, begin, end, (which, first, last) => {
			if (which === COUNTER.packets) packets = be64.read(bytes, first, last);
			else if (which === COUNTER.bytes) counted = be64.read(bytes, first, last);
		});
	});
	return { packets, bytes: counted };
}
