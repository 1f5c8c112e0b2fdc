/** Reads the counters of tables whose rules did not change. It skips the rest of each message. */
import { HEADER_BYTES } from "./attribute-writer.ts";
import { be64, eachAttribute, text, UnreadableError } from "./codec.ts";
import type { Counter } from "./element.ts";
import { NFGENMSG } from "./uapi.ts";

/** The counters of one table. */
export interface TableCounters {
	/** The first counter of each rule that has one, by the rule's handle. */
	readonly rules: ReadonlyMap<bigint, Counter>;
	/** The counter of each element that has one, by set name and {@link elementKey}. */
	readonly elements: ReadonlyMap<string, ReadonlyMap<string, Counter>>;
}

/** A set's key as a string, for use as a key of a Map. */
export function elementKey(key: Uint8Array): string {
	return Buffer.from(key.buffer, key.byteOffset, key.length).toString("latin1");
}

/** NFTA_RULE_*, NFTA_LIST_*, NFTA_EXPR_*, NFTA_COUNTER_* of include/uapi/linux/netfilter/nf_tables.h. */
const RULE = { table: 1, handle: 3, expressions: 4 } as const;
const EXPRESSION = { data: 2 } as const;
const COUNTER = { bytes: 1, packets: 2 } as const;
/**
 * The name `counter` as two numbers: a comparison of strings would take as long as the rest of the reading.
 */
const NAME = Buffer.from("counter\0");
const [NAME_BEGIN, NAME_END] = [NAME.readUInt32LE(0), NAME.readUInt32LE(4)];

/** The rule's first counter; undefined if it has none. Throws UnreadableError. */
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

/** The first counter in a list of expressions. */
function firstCounter(bytes: Buffer, from: number, to: number): Counter | undefined {
	for (let at = from; at + HEADER_BYTES <= to; ) {
		const length = bytes.readUInt16LE(at);
		if (length < HEADER_BYTES || at + length > to)
			throw new UnreadableError("an expression that does not fit");
		// The name comes first, in an attribute of its own.
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
