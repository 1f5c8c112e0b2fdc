/**
 * Compares nft with the oracle through a forwarding kernel: the same bytes and the same counters, or a limit
 * of docs/reference/nft-limits.md with exactly the documented effect.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EXTENSION_HEADER, type ParsedPacket, parsePacket } from "@l3dsr/packet";
import fc from "fast-check";
import { enterNetns } from "../../../../../test/support/netns.ts";
import type { Counters, Rule } from "../../../src/model/rule.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import type { PacketContext } from "../../../src/rewrite/oracle/oracle.ts";
import { rewriteByRules } from "../../../src/rewrite/oracle/oracle.ts";
import {
	arbitraryMatchingRule,
	arbitraryPacket,
	arbitraryServiceRule,
	type RandomPacket,
} from "../../packets/arbitrary.ts";
import { extension, icmpv6, ipv4, ipv6, tcp } from "../../packets/build.ts";
import {
	beforeAndAfter,
	CATALOGUE,
	REAL_IPV4,
	REAL_IPV6,
	VIP_IPV4,
	VIP_IPV6,
} from "../../packets/catalogue.ts";
import { Crossing, forwarded, IN_INTERFACE, SENDER_MAC_BYTES, withIdentity } from "../../packets/crossing.ts";
import { assertEquivalentPacket, assertSamePacket, describePacket } from "../../packets/diff.ts";
import { type Limit, limitOf } from "../../packets/nft-limits.ts";
import { daddrRule, type RuleSketch } from "../../packets/rules.ts";
import { setRules } from "../set-rules.ts";

enterNetns();

/** Random rulesets in a run; `make differential` has more. */
const RULESETS = Number(process.env["L3DSR_NFT_DIFFERENTIAL_RULESETS"] ?? 25);

const nft = new NftDatapath();
const context: PacketContext = {
	inInterface: IN_INTERFACE,
	outInterface: "",
	mark: 0,
	sourceMac: SENDER_MAC_BYTES,
	local: [],
};

async function install(rules: readonly Rule[]): Promise<void> {
	const zero: Counters = { packets: 0n, bytes: 0n };
	const entries = rules.map((rule, ordinal) => ({ rule, ordinal, counters: zero }));
	await setRules(nft, { entries });
}

function oracle(packet: Uint8Array, rules: readonly Rule[]): ReturnType<typeof rewriteByRules> {
	const family = (packet[0] ?? 0) >> 4 === 6 ? "ipv6" : "ipv4";
	// The kernel follows all extension headers.
	const options = { extensionLimit: Number.POSITIVE_INFINITY };
	return rewriteByRules(
		packet,
		rules.filter((rule) => rule.family === family),
		context,
		options,
	);
}

const CROSSING_CASES = CATALOGUE.filter(({ kernel }) => kernel !== "drops before prerouting");

const SKETCHES: Readonly<Record<string, RuleSketch>> = {
	"one lookup": {},
	"one lookup that clears DSCP and sets the port": { clearDscp: true, dport: 8080 },
	"linear rules": {
		matches: [
			{ kind: "ecn", ect: 2, negated: true },
			{ kind: "dscp", dscp: 5 as never, negated: true },
		],
	},
	"linear rules that clear DSCP and set the port": {
		matches: [{ kind: "dscp", dscp: 5 as never, negated: true }],
		clearDscp: true,
		dport: 8080,
	},
};

describe("every packet of the catalogue", () => {
	for (const [title, sketch] of Object.entries(SKETCHES)) {
		it(`crosses ${title} with the oracle's result, or is a limit of nft`, async () => {
			await using crossing = await Crossing.open();
			const rules = [VIP_IPV4, VIP_IPV6].map((vip) => daddrRule(vip, { dscp: 1, ...sketch }));
			await install(rules);
			const packets = CROSSING_CASES.map((packetCase, i) => beforeAndAfter(packetCase, { id: i + 1 }).before);
			const arrived = await crossing.send(packets);
			const met = new Set<Limit>();
			for (const [i, { name }] of CROSSING_CASES.entries()) {
				const before = packets[i];
				const after = arrived[i];
				assert.ok(before !== undefined && after !== undefined, `${name}: lost`);
				const packet = parsePacket(before, Number.POSITIVE_INFINITY);
				assert.ok(typeof packet !== "string");
				const limit = limitOf(before, packet, sketch.dport !== undefined);
				const expected = oracle(before, rules).bytes;
				if (limit === undefined) assertEquivalentPacket(after, forwarded(expected), name);
				else {
					met.add(limit);
					assertSamePacket(after, forwarded(asLimited(limit, packet, before, expected)), `${name}: ${limit}`);
				}
			}
			assert.equal(met.size, sketch.dport === undefined ? 5 : 6);
		});
	}

	it("crosses with a pending checksum", async () => {
		await using crossing = await Crossing.open();
		for (const sketch of Object.values(SKETCHES)) {
			const rules = [VIP_IPV4, VIP_IPV6].map((vip) => daddrRule(vip, { dscp: 1, ...sketch }));
			await install(rules);
			// A packet with an error, or without its own transport header, cannot be sent like this.
			const cases = CROSSING_CASES.filter(
				({ name, malformed }) =>
					/^IPv[46] (TCP|UDP)( |$)/.test(name) &&
					!/wrong|behind|cut|without checksum/.test(name) &&
					!malformed,
			);
			assert.ok(cases.length >= 12);
			const packets = cases.map((packetCase, i) => beforeAndAfter(packetCase, { id: i + 1 }).before);
			const arrived = await crossing.send(packets, { pendingChecksums: true });
			for (const [i, { name }] of cases.entries()) {
				const expected = oracle(packets[i] ?? new Uint8Array(), rules).bytes;
				assertEquivalentPacket(arrived[i] ?? new Uint8Array(), forwarded(expected), name);
			}
		}
	});
});

/** The effect of nft on a packet where it differs from the oracle. */
function asLimited(limit: Limit, packet: ParsedPacket, before: Uint8Array, expected: Uint8Array): Uint8Array {
	const { transport } = packet;
	const copy = Uint8Array.from(expected);
	switch (limit) {
		case "IPv4: TCP or UDP-Lite cut short":
			return before;
		case "ICMPv6 in IPv4":
			// Less than 38 bytes: treated like a truncated packet.
			return before;
		case "DCCP":
		case "OSPFv3":
		case "transport behind an authentication, mobility, HIP or shim6 header":
			// The address is right; the transport header is unchanged, so its checksum is wrong.
			assert.ok(transport !== undefined || packet.protocol === EXTENSION_HEADER.mobility);
			if (transport !== undefined) copy.set(before.subarray(transport.offset), transport.offset);
			return copy;
		case "a second routing header":
		case "IPv4 options in what an ICMP error quotes":
			return assert.fail("the catalogue has none");
		case "UDP-Lite ports": {
			// Address and checksum are right, the port is unchanged.
			assert.ok(transport !== undefined);
			const family = packet.family === "ipv4" ? VIP_IPV4 : VIP_IPV6;
			const clearDscp = dscpByte(expected) === 0;
			copy.set(oracle(before, [daddrRule(family, { clearDscp })]).bytes);
			return copy;
		}
	}
}

function dscpByte(bytes: Uint8Array): number {
	return (bytes[0] ?? 0) >> 4 === 4
		? (bytes[1] ?? 0) & 0xfc
		: (((bytes[0] ?? 0) << 8) | (bytes[1] ?? 0)) & 0xfc0;
}

describe("nft, outside the catalogue,", () => {
	it("changes the checksum of ICMPv6 in IPv4, which covers no address", async () => {
		await using crossing = await Crossing.open();
		const rules = [daddrRule(VIP_IPV4)];
		await install(rules);
		const before = ipv4({ destination: REAL_IPV4 }, icmpv6({ data: "x".repeat(40) }));
		const [after = new Uint8Array()] = await crossing.send([before]);
		const expected = Uint8Array.from(forwarded(oracle(before, rules).bytes));
		assert.notDeepEqual(after.subarray(22, 24), expected.subarray(22, 24));
		expected.set(after.subarray(22, 24), 22);
		assertSamePacket(after, expected, "beside the checksum");
	});

	it("sees only the first of two routing headers, and misses segments left in the second", async () => {
		await using crossing = await Crossing.open();
		const rules = [daddrRule(VIP_IPV6)];
		await install(rules);
		const extensions = [extension.routing(0, "2001:db8:f::1"), extension.routing(1, "2001:db8:f::1")];
		const before = ipv6({ destination: REAL_IPV6, extensions }, tcp());
		const [after = new Uint8Array()] = await crossing.send([before]);
		const expected = Uint8Array.from(forwarded(oracle(before, rules).bytes));
		const checksum = 40 + 24 + 24 + 16;
		assert.notDeepEqual(after.subarray(checksum, checksum + 2), expected.subarray(checksum, checksum + 2));
		expected.set(after.subarray(checksum, checksum + 2), checksum);
		assertSamePacket(after, expected, "beside the checksum");
	});

	it("treats an authentication header as the last one: `-p tcp` does not match after it", async () => {
		await using crossing = await Crossing.open();
		const hidden = CATALOGUE.find(({ name }) => name === "IPv6 TCP behind an authentication header");
		assert.ok(hidden !== undefined);
		const protocol = (number: number): RuleSketch => ({ header: { protocol: { number, negated: false } } });
		await install([daddrRule(VIP_IPV6, protocol(6)), daddrRule(VIP_IPV6, protocol(51))]);
		await crossing.send([beforeAndAfter(hidden).before, forwarded(beforeAndAfter(hidden, { id: 2 }).before)]);
		const { rules } = await nft.observe();
		assert.deepEqual(
			rules.map(({ counters }) => counters.packets),
			[0n, 2n],
		);
	});
});

describe("random rulesets and packets", () => {
	const families = fc.constantFrom("ipv4" as const, "ipv6" as const);

	it("give the same bytes and counters as in the oracle", async () => {
		const rulesets = fc.array(
			families.chain((family) => arbitraryMatchingRule(family)),
			{ minLength: 1, maxLength: 6 },
		);
		const packets = fc.array(arbitraryPacket(), { minLength: 60, maxLength: 60 });
		const matched = await compareWithOracle(rulesets, packets, RULESETS);
		assert.ok(matched > 100, `only ${matched} matches`);
	});

	it("of services with ports agree too, including ICMP errors and later fragments", async () => {
		const rulesets = fc.array(families.chain(arbitraryServiceRule), { minLength: 6, maxLength: 12 });
		const packets = fc
			.tuple(
				fc.array(arbitraryPacket({ errors: true }), { minLength: 60, maxLength: 60 }),
				fc.array(arbitraryPacket(), { minLength: 10, maxLength: 10 }),
			)
			.map((both) => both.flat());
		const runs = Math.ceil(RULESETS / 4);
		const matched = await compareWithOracle(rulesets, packets, runs);
		assert.ok(matched > runs, `only ${matched} matches`);
	});

	/** Returns how often a rule matched a packet. */
	async function compareWithOracle(
		rulesets: fc.Arbitrary<Rule[]>,
		packets: fc.Arbitrary<RandomPacket[]>,
		numRuns: number,
	): Promise<number> {
		await using crossing = await Crossing.open();
		let matched = 0;
		await fc.assert(
			fc.asyncProperty(rulesets, packets, async (rules, random) => {
				await install(rules);
				// The next reading finds the same generation, and reads only counters.
				await nft.observe();
				const setsPort = rules.some(({ target }) => target.dport !== undefined);
				const sent = random
					.map(({ bytes }, i) => withIdentity(bytes, i + 1))
					.filter((bytes) => {
						const packet = parsePacket(bytes, Number.POSITIVE_INFINITY);
						return typeof packet !== "string" && limitOf(bytes, packet, setsPort) === undefined;
					});
				const arrived = await crossing.send(sent);
				const counters = rules.map(() => ({ packets: 0n, bytes: 0n }));
				for (const [i, before] of sent.entries()) {
					const family = (before[0] ?? 0) >> 4 === 6 ? "ipv6" : "ipv4";
					const result = oracle(before, rules);
					assert.ok(result.evaluated);
					const after = arrived[i];
					assert.ok(after !== undefined, `lost: ${describePacket(before)}`);
					assertEquivalentPacket(after, forwarded(result.bytes), describePacket(before));
					const own = rules.flatMap((rule, index) => (rule.family === family ? [index] : []));
					for (const [place, outcome] of result.outcomes.entries()) {
						const counter = counters[own[place] ?? -1];
						if (!outcome.matched || counter === undefined) continue;
						counter.packets++;
						counter.bytes += BigInt(result.length);
						matched++;
					}
				}
				const observed = await nft.observe();
				assert.deepEqual(observed.findings, []);
				const seen = new Map(observed.rules.map((one) => [one.ordinal, one.counters]));
				assert.deepEqual(
					rules.map((_, index) => seen.get(index)),
					counters,
				);
			}),
			// Shrinking takes minutes; a failure names its packet.
			{ numRuns, endOnFailure: true },
		);
		return matched;
	}
});
