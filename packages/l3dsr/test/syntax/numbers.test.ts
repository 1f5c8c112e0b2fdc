/** Notations of one number for three readers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseDecimal, parseStrtoul, parseYamlNumber } from "../../src/syntax/numbers.ts";

test("every notation of strtoul reads as the same number", () => {
	fc.assert(
		fc.property(fc.nat(1000), fc.nat(3), (value, zeros) => {
			const pad = "0".repeat(zeros);
			assert.equal(parseStrtoul(String(value)), value);
			assert.equal(parseStrtoul(`0x${pad}${value.toString(16)}`), value);
			assert.equal(parseStrtoul(`0X${pad}${value.toString(16).toUpperCase()}`), value);
			assert.equal(parseStrtoul(`0${pad}${value.toString(8)}`), value);
		}),
	);
});

for (const [text, strtoul, yaml, decimal] of [
	["0", 0, 0, 0],
	["10", 10, 10, 10],
	["010", 8, undefined, 10],
	["08", undefined, undefined, 8],
	["0x1c", 28, 28, undefined],
	["0X1C", 28, undefined, undefined],
	["0o17", undefined, 15, undefined],
	["", undefined, undefined, undefined],
	[" 7", undefined, undefined, undefined],
	["+7", undefined, undefined, undefined],
	["-7", undefined, undefined, undefined],
	["7.0", undefined, undefined, undefined],
	["1e3", undefined, undefined, undefined],
	["Infinity", undefined, undefined, undefined],
	["\u0667", undefined, undefined, undefined],
	["0x", undefined, undefined, undefined],
] as const) {
	test(`${JSON.stringify(text)} is ${strtoul} to strtoul, ${yaml} in YAML, ${decimal} in decimal`, () => {
		assert.equal(parseStrtoul(text), strtoul);
		assert.equal(parseYamlNumber(text), yaml);
		assert.equal(parseDecimal(text), decimal);
	});
}
