/** Addresses as text and as bytes. */
import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import { describe, it } from "node:test";
import fc from "fast-check";
import { runs } from "../../../test/support/property-runs.ts";
import { addressFromBytes, parseAddress, parseIpv4, prefixOf } from "../src/address.ts";

/** Four numbers, or something near them. */
const nearlyIpv4 = fc
	.array(
		fc.oneof(fc.integer({ min: 0, max: 260 }).map(String), fc.constantFrom("", "00", "01", "1a", " 1")),
		{
			minLength: 3,
			maxLength: 5,
		},
	)
	.map((parts) => parts.join("."));

describe("an address", () => {
	it("of IPv4 is read if Node reads it, and keeps its text", () => {
		let read = 0;
		fc.assert(
			fc.property(fc.oneof(nearlyIpv4, fc.ipV4()), (text) => {
				const address = parseIpv4(text);
				assert.equal(address !== undefined, isIPv4(text), text);
				if (address === undefined) return;
				assert.equal(address.text, text);
				read++;
			}),
			{ numRuns: runs(2000) },
		);
		assert.ok(read > 100);
	});

	it("of IPv6 is read if Node reads it, and its own text is read as the same address", () => {
		fc.assert(
			fc.property(
				fc.oneof(fc.ipV6(), fc.string({ unit: fc.constantFrom("0", "f", ":", "::", "1.2.3.4") })),
				(text) => {
					const address = parseAddress(text);
					assert.equal(address !== undefined, isIPv6(text) || isIPv4(text), text);
					if (address !== undefined) assert.deepEqual(parseAddress(address.text), address);
				},
			),
			{ numRuns: runs(2000) },
		);
	});

	it("is the same from its bytes as from its text", () => {
		const bytes = fc
			.constantFrom(4, 16)
			.chain((length) => fc.array(fc.nat(255), { minLength: length, maxLength: length }));
		fc.assert(
			fc.property(bytes, (given) => {
				const address = addressFromBytes(given);
				assert.deepEqual(parseAddress(address.text), address);
			}),
		);
	});
});

describe("a prefix", () => {
	it("has its first bits, and zeros behind them", () => {
		fc.assert(
			fc.property(fc.ipV4(), fc.nat(32), (text, length) => {
				const address = parseIpv4(text);
				assert.ok(address !== undefined);
				const bits = (bytes: readonly number[]) =>
					bytes.map((byte) => byte.toString(2).padStart(8, "0")).join("");
				const expected = bits(address.bytes).slice(0, length).padEnd(32, "0");
				assert.equal(bits(prefixOf(address, length).address.bytes), expected);
			}),
		);
	});
});
