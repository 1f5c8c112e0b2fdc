/** Any bytes are either decoded or refused; what is encoded decodes to the same value. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { runs } from "../../../test/support/property-runs.ts";
import { AttributeWriter } from "../src/attribute-writer.ts";
import { UnreadableError } from "../src/codec.ts";
import {
	decodeChain,
	decodeElementList,
	decodeObject,
	decodeRule,
	decodeSetHead,
	decodeTable,
	MessageBody,
} from "../src/decode.ts";
import type { Expression } from "../src/expression.ts";
import { ExpressionReader, expressionInside, readExpression } from "../src/expression-codec.ts";
import { expressionKey, sameExpression } from "../src/expression-key.ts";
import { decodeComment, decodeSetUserData, encodeComment } from "../src/user-data.ts";

function written(expression: Expression): Buffer {
	const writer = new AttributeWriter();
	expressionInside.write(writer, expression);
	return Buffer.from(writer.take());
}

/** The first half of an expression's fields. */
function firstFields(expression: Expression): object {
	const fields = Object.entries(expression).filter(([name]) => name !== "kind");
	return Object.fromEntries(fields.slice(0, (fields.length + 1) >> 1));
}

const register = fc.constantFrom(1, 2, 3, 4, 8, 9, 23);
const value = fc.uint8Array({ minLength: 1, maxLength: 16 });
const u32 = fc.integer({ min: 0, max: 0xffffffff });

const expression: fc.Arbitrary<Expression> = fc.oneof(
	fc.record({
		kind: fc.constant("payload" as const),
		base: fc.constantFrom("link" as const, "network" as const, "transport" as const),
		offset: u32,
		length: u32,
		register,
	}),
	fc.record({
		kind: fc.constant("payload write" as const),
		base: fc.constantFrom("network" as const, "transport" as const),
		offset: u32,
		length: u32,
		register,
		checksum: u32,
		pseudoHeader: fc.boolean(),
	}),
	fc.record({
		kind: fc.constant("compare" as const),
		register,
		operator: fc.constantFrom("==" as const, "!=" as const, "<" as const, ">=" as const),
		value,
	}),
	fc.record({
		kind: fc.constantFrom("meta" as const, "meta write" as const),
		key: fc.constantFrom("mark" as const, "l4proto" as const),
		register,
	}),
	fc.record({ kind: fc.constant("immediate" as const), register, value }),
	fc.record({
		kind: fc.constant("bitwise" as const),
		source: register,
		register,
		length: fc.constantFrom(1, 4),
		operation: fc.constant("mask" as const),
		mask: value,
		xor: value,
	}),
	fc.record({
		kind: fc.constant("range" as const),
		register,
		operator: fc.constantFrom("==" as const, "!=" as const),
		first: value,
		last: value,
	}),
	fc.record({
		kind: fc.constant("lookup" as const),
		set: fc.string({ minLength: 1, unit: "grapheme-ascii" }),
		register,
		negated: fc.boolean(),
	}),
	fc.record({
		kind: fc.constant("counter" as const),
		packets: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
		bytes: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
	}),
	fc.record({
		kind: fc.constant("fib" as const),
		result: fc.constantFrom("type" as const, "oif" as const),
		flags: fc.subarray(["saddr", "daddr", "mark", "iif", "oif", "present"] as const),
		register,
	}),
	fc.record({
		kind: fc.constant("verdict" as const),
		verdict: fc.constantFrom("jump" as const, "goto" as const),
		chain: fc.string({ minLength: 1, unit: "grapheme-ascii" }),
	}),
	fc.record({
		kind: fc.constant("verdict" as const),
		verdict: fc.constantFrom("accept" as const, "drop" as const, "continue" as const, "return" as const),
	}),
	fc.record({
		kind: fc.constant("exthdr" as const),
		operation: fc.constantFrom("ipv6" as const, "tcp option" as const),
		type: fc.integer({ min: 0, max: 255 }),
		offset: u32,
		length: u32,
		present: fc.boolean(),
		register,
	}),
	fc.record({
		kind: fc.constant("other" as const),
		name: fc.constant("synproxy"),
		data: fc.uint8Array({ maxLength: 40 }),
	}),
);

describe("an expression", () => {
	it("is decoded to the value that was encoded", () => {
		fc.assert(
			fc.property(expression, (one) => {
				const bytes = written(one);
				assert.deepEqual(readExpression(bytes, 0, bytes.length), { ...one });
			}),
		);
	});

	it("is the same as another, and has its key, exactly when both have the same encoding, except for counters", () => {
		const other = expression.filter(({ kind }) => kind !== "counter");
		let same = 0;
		fc.assert(
			fc.property(other, other, fc.constantFrom("a copy", "changed", "another"), (one, another, relation) => {
				const second = relation === "another" ? another : ({ ...one } as Expression);
				if (relation === "changed" && one.kind === another.kind) Object.assign(second, firstFields(another));
				const alike = written(one).equals(written(second));
				assert.equal(expressionKey(one) === expressionKey(second), alike);
				assert.equal(sameExpression(one, second), alike);
				if (alike) same++;
			}),
			{ numRuns: runs(2000) },
		);
		assert.ok(same > 100);
	});

	it("is the same as a counter with other numbers if it is a counter", () => {
		const counter = { kind: "counter", packets: 1n, bytes: 2n } as const;
		assert.ok(sameExpression(counter, { ...counter, packets: 3n }));
		assert.ok(!sameExpression(counter, { kind: "meta", key: "mark", register: 1 }));
	});

	it("is kept as received if its form is unknown", () => {
		const known = written({ kind: "meta", key: "mark", register: 1 });
		// A key of meta that no kernel has yet.
		known.writeUInt32BE(0xfffe, known.indexOf(Buffer.of(0, 0, 0, 3)));
		const read = readExpression(known, 0, known.length);
		assert.equal(read.kind, "other");
		assert.deepEqual(written(read), known);
	});

	it("is the same object for the same bytes, unless it is a counter", () => {
		const reader = new ExpressionReader();
		const meta = written({ kind: "meta", key: "mark", register: 1 });
		assert.equal(reader.read(meta, 0, meta.length), reader.read(Buffer.from(meta), 0, meta.length));
		const counter = written({ kind: "counter", packets: 1n, bytes: 2n });
		assert.notEqual(reader.read(counter, 0, counter.length), reader.read(counter, 0, counter.length));
	});
});

describe("encoded data", () => {
	it("is the same wherever the buffer has to grow", () => {
		for (let before = 0; before < 1100; before++) {
			const writer = new AttributeWriter();
			writer.raw(new Uint8Array(before));
			const begun = writer.begin(1, true);
			writer.u8(1);
			writer.be16(0x0203);
			writer.be32(0x04050607);
			writer.be64(0x08090a0b0c0d0e0fn);
			writer.text("x");
			writer.end(begun);
			assert.equal(
				Buffer.from(writer.take().subarray(before)).toString("hex"),
				"15000180" + "0102030405060708090a0b0c0d0e0f7800" + "000000",
			);
		}
	});
});

describe("arbitrary bytes", () => {
	const decoders = [
		decodeTable,
		decodeChain,
		decodeSetHead,
		decodeElementList,
		decodeObject,
		(body: MessageBody) => decodeRule(body, new ExpressionReader()),
	];

	it("are decoded, or refused as unreadable", () => {
		let readable = 0;
		fc.assert(
			fc.property(
				fc.uint8Array({ minLength: 4, maxLength: 200 }),
				fc.constantFrom(...decoders),
				(bytes, decode) => {
					try {
						decode(new MessageBody(bytes));
						readable++;
					} catch (error) {
						assert.ok(error instanceof UnreadableError, String(error));
					}
				},
			),
			{ numRuns: runs(3000) },
		);
		assert.ok(readable > 0);
	});

	it("are decoded or refused when a rule's message is truncated or changed at one place", () => {
		const writer = new AttributeWriter();
		writer.raw(Uint8Array.of(2, 0, 0, 0));
		const list = writer.begin(4, true);
		const begun = writer.begin(1, true);
		expressionInside.write(writer, {
			kind: "compare",
			register: 1,
			operator: "==",
			value: Uint8Array.of(1, 2),
		});
		writer.end(begun);
		writer.end(list);
		const whole = writer.take();
		for (let at = 0; at < whole.length; at++) {
			for (const bytes of [
				whole.slice(0, at),
				Uint8Array.from(whole, (byte, index) => (index === at ? 0xff : byte)),
			]) {
				try {
					decodeRule(new MessageBody(bytes), new ExpressionReader());
				} catch (error) {
					assert.ok(error instanceof UnreadableError, String(error));
				}
			}
		}
	});

	it("never throw when they are read as user data", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
				decodeComment(bytes);
				decodeSetUserData(bytes);
			}),
		);
		assert.equal(decodeComment(encodeComment("as it was, ü")), "as it was, ü");
	});
});
