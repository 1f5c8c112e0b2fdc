import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePacket } from "@l3dsr/packet";
import fc from "fast-check";
import { runs } from "../../../../../test/support/property-runs.ts";
import { type PacketContext, rewriteByRules } from "../../../src/rewrite/oracle/oracle.ts";
import { arbitraryMatchingRule, arbitraryPacket, VOCABULARY } from "../../packets/arbitrary.ts";
import { bytesOf, internetChecksum, word } from "../../packets/build.ts";
import { assertSamePacket } from "../../packets/diff.ts";
import { daddrRule } from "../../packets/rules.ts";

const context: PacketContext = { inInterface: "in0", outInterface: "", mark: 0, local: [] };
const VIP = { ipv4: VOCABULARY.ipv4.destinations[3], ipv6: VOCABULARY.ipv6.destinations[3] } as const;

const arbitraryRules = fc
	.constantFrom("ipv4" as const, "ipv6" as const)
	.chain((family) =>
		fc.tuple(
			arbitraryPacket({ family }),
			fc.array(arbitraryMatchingRule(family), { minLength: 1, maxLength: 4 }),
		),
	);

/** 0 or 0xffff if the checksum is right: both represent zero. */
function transportResidue(bytes: Uint8Array): number | undefined {
	const packet = parsePacket(bytes);
	if (typeof packet === "string" || !packet.transport?.checksumPresent || packet.routedFurther)
		return undefined;
	const { offset, protocol, checksumOffset = 0 } = packet.transport;
	const field = bytes.subarray(checksumOffset, checksumOffset + 2);
	if (protocol === 17 && field[0] === 0 && field[1] === 0) return undefined;
	const message = bytes.subarray(offset, packet.length);
	// UDP-Lite sums as many bytes as its length field says (RFC 3828), 0 for all.
	const coverage = protocol === 136 ? ((message[4] ?? 0) << 8) | (message[5] ?? 0) : 0;
	return internetChecksum(
		packet.source,
		packet.destination,
		bytesOf([0, protocol], word(message.length)),
		message.subarray(0, coverage || message.length),
	);
}

test("a rewritten valid packet has the checksums of a full computation", () => {
	fc.assert(
		fc.property(arbitraryPacket({ valid: true }), fc.boolean(), ({ family, bytes }, clearDscp) => {
			const rule = daddrRule(VIP[family], { clearDscp, dport: 8443 });
			const result = rewriteByRules(bytes, [rule], context);
			if (family === "ipv4") {
				const headerLength = ((bytes[0] ?? 0) & 0x0f) * 4;
				assert.equal(internetChecksum(result.bytes.subarray(0, headerLength)) % 0xffff, 0);
			}
			assert.equal((transportResidue(bytes) ?? 0) % 0xffff, 0, "the packet was not valid");
			assert.equal((transportResidue(result.bytes) ?? 0) % 0xffff, 0);
		}),
		{ numRuns: runs(1000) },
	);
});

test("only the rewritten fields change, and nothing of a later fragment's payload", () => {
	fc.assert(
		fc.property(arbitraryPacket(), fc.boolean(), fc.boolean(), ({ family, bytes }, clearDscp, withPort) => {
			const rule = daddrRule(VIP[family], { clearDscp, ...(withPort ? { dport: 8443 } : {}) });
			const result = rewriteByRules(bytes, [rule], context);
			assert.ok(result.evaluated);
			const { packet } = result;
			const { transport } = packet;
			const may = new Set<number>();
			const add = (offset: number, length: number) => {
				for (let i = 0; i < length; i++) may.add(offset + i);
			};
			if (family === "ipv4") add(16, 4);
			else add(24, 16);
			if (family === "ipv4") add(10, 2);
			if (clearDscp) add(family === "ipv4" ? 1 : 0, family === "ipv4" ? 1 : 2);
			if (!packet.laterFragment && transport?.checksumPresent) {
				add(transport.checksumOffset ?? 0, 2);
				if (withPort && transport.portsPresent) add(transport.offset + 2, 2);
			}
			const restored = result.bytes.map((byte, i) => (may.has(i) ? (bytes[i] ?? 0) : byte));
			assertSamePacket(restored, bytes, "a byte outside of the rewrite's fields changed");
			const rewritten = parsePacket(result.bytes);
			assert.ok(typeof rewritten !== "string");
			assert.deepEqual([...rewritten.destination], rule.target.daddr.bytes);
			assert.equal(rewritten.tos & 0x03, packet.tos & 0x03, "ECN");
		}),
		{ numRuns: runs(1000) },
	);
});

test("a ruleset has the same effect on a packet as its rules one by one", () => {
	fc.assert(
		fc.property(arbitraryRules, ([{ bytes }, rules]) => {
			let current: Uint8Array = bytes;
			const outcomes = rules.flatMap((rule) => {
				const result = rewriteByRules(current, [rule], context);
				assert.ok(result.evaluated);
				current = result.bytes;
				return result.outcomes;
			});
			const atOnce = rewriteByRules(bytes, rules, context);
			assert.ok(atOnce.evaluated);
			assertSamePacket(atOnce.bytes, current, "rules in one go differ from rules one by one");
			assert.deepEqual(atOnce.outcomes, outcomes);
		}),
		{ numRuns: runs(1000) },
	);
});

test("a packet that no rule matches is unchanged", () => {
	fc.assert(
		fc.property(arbitraryRules, ([{ bytes }, rules]) => {
			const result = rewriteByRules(bytes, rules, context);
			assert.ok(result.evaluated);
			if (result.outcomes.some((outcome) => outcome.matched)) return;
			assertSamePacket(result.bytes, bytes, "changed without a match");
			assert.equal(result.malformed, undefined);
		}),
		{ numRuns: runs(1000) },
	);
});

test("any bytes are rewritten or left unchanged, without an exception and in a copy", () => {
	const version = fc.constantFrom(0x45, 0x4f, 0x60, 0x00);
	const noise = fc.uint8Array({ maxLength: 120 });
	// Random length fields would rarely fit: half of the packets get a valid one.
	const arbitraryBytes = fc.tuple(version, noise, fc.boolean()).map(([first, bytes, fits]) => {
		if (bytes.length > 0) bytes[0] = first;
		const length = first >> 4 === 4 ? bytes.length : bytes.length - 40;
		if (fits && bytes.length >= 8) bytes.set(bytesOf(word(length)), first >> 4 === 4 ? 2 : 4);
		return bytes;
	});
	fc.assert(
		fc.property(arbitraryBytes, arbitraryRules, (bytes, [, rules]) => {
			const before = Uint8Array.from(bytes);
			const result = rewriteByRules(bytes, rules, context);
			assertSamePacket(bytes, before, "the input changed");
			assert.equal(result.bytes.length, bytes.length);
			if (!result.evaluated) assertSamePacket(result.bytes, before, "an unreadable packet changed");
		}),
		{ numRuns: runs(2000) },
	);
});

test("an extension chain is followed as far as a datapath can", () => {
	fc.assert(
		fc.property(arbitraryPacket({ family: "ipv6", valid: true }), ({ bytes }) => {
			const rule = daddrRule(VIP.ipv6);
			const nothingWalked = rewriteByRules(bytes, [rule], context, { extensionLimit: 0 });
			assert.ok(nothingWalked.evaluated);
			const extended = nothingWalked.malformed === "extension-chain-long";
			assert.equal(extended, [0, 43, 44, 51, 60, 135, 139, 140].includes(bytes[6] ?? 0));
			if (extended) assertSamePacket(nothingWalked.bytes.subarray(40), bytes.subarray(40), "payload");
		}),
	);
});
