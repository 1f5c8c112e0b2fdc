/** Compares expressions, two at a time or by strings. */
import { AttributeWriter } from "./attribute-writer.ts";
import { sameBytes } from "./bytes.ts";
import type { Expression } from "./expression.ts";
import { writeExpression } from "./expression-codec.ts";

const scratch = new AttributeWriter();

/** Whether two expressions do the same. The numbers of counters are ignored. Faster than comparing keys. */
export function sameExpression(a: Expression, b: Expression): boolean {
	if (a === b) return true;
	switch (a.kind) {
		case "payload":
			return (
				b.kind === a.kind &&
				a.base === b.base &&
				a.offset === b.offset &&
				a.length === b.length &&
				a.register === b.register
			);
		case "payload write":
			return (
				b.kind === a.kind &&
				a.base === b.base &&
				a.offset === b.offset &&
				a.length === b.length &&
				a.register === b.register &&
				a.checksum === b.checksum &&
				a.pseudoHeader === b.pseudoHeader
			);
		case "meta":
			return b.kind === a.kind && a.key === b.key && a.register === b.register;
		case "compare":
			return (
				b.kind === a.kind &&
				a.register === b.register &&
				a.operator === b.operator &&
				sameBytes(a.value, b.value)
			);
		case "bitwise":
			if (b.kind !== "bitwise" || a.operation !== "mask" || b.operation !== "mask") break;
			return (
				a.source === b.source &&
				a.register === b.register &&
				a.length === b.length &&
				sameBytes(a.mask, b.mask) &&
				sameBytes(a.xor, b.xor)
			);
		case "immediate":
			return b.kind === a.kind && a.register === b.register && sameBytes(a.value, b.value);
		case "counter":
			return b.kind === a.kind;
	}
	return b.kind === a.kind && expressionKey(a) === expressionKey(b);
}

/** Two expressions have the same key exactly when they do the same. The numbers of counters are ignored. */
export function expressionKey(expression: Expression): string {
	if (expression.kind === "counter") return "counter;";
	let key = keys.get(expression);
	if (key === undefined) {
		key = commonKey(expression) ?? encodedKey(expression);
		keys.set(expression, key);
	}
	return key;
}

/**
 * A fast path for the most frequent expressions: a ruleset can have a thousand rules with six expressions
 * each.
 */
function commonKey(one: Expression): string | undefined {
	switch (one.kind) {
		case "payload":
			return `payload ${one.base} ${one.offset} ${one.length} ${one.register};`;
		case "payload write":
			return `${one.kind} ${one.base} ${one.offset} ${one.length} ${one.register} ${one.checksum} ${one.pseudoHeader};`;
		case "meta":
		case "meta write":
			return `${one.kind} ${one.key} ${one.register};`;
		case "compare":
			return `compare ${one.register} ${one.operator} ${one.value.join(".")};`;
		case "range":
			return `range ${one.register} ${one.operator} ${one.first.join(".")}-${one.last.join(".")};`;
		case "immediate":
			return `immediate ${one.register} ${one.value.join(".")};`;
		case "verdict":
			return `verdict ${one.verdict} ${JSON.stringify(one.chain ?? null)};`;
		default:
			return undefined;
	}
}

/** The attributes in hexadecimal, which no key of {@link commonKey} looks like. */
function encodedKey(expression: Expression): string {
	let set = "";
	let bytes: Uint8Array;
	try {
		writeExpression(scratch, expression, (one) => {
			if (typeof one === "string") return { name: one };
			set = ` ${anonymousSetKey(one)}`;
			return { name: "" };
		});
	} finally {
		bytes = scratch.take();
	}
	return `${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex")}${set};`;
}

const keys = new WeakMap<Expression, string>();

function anonymousSetKey({
	key,
	data,
	elements,
}: Exclude<(Expression & { kind: "lookup" })["set"], string>): string {
	const hex = (bytes: Uint8Array | undefined): string =>
		bytes === undefined ? "" : Buffer.from(bytes).toString("hex");
	const texts = elements.map((one) => {
		const value = one.data instanceof Uint8Array ? hex(one.data) : JSON.stringify(one.data ?? null);
		const last = one.last === undefined ? hex(one.key) : hex(one.last);
		return `${hex(one.key)}-${last}:${value}`;
	});
	return `${key.bytes} ${data === undefined ? "" : data === "verdict" ? data : data.bytes} ${texts.sort().join(",")}`;
}
