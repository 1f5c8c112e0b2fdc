import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { dscp, parseAddress, prefixOf } from "@l3dsr/packet";
import type { InterfaceMatch, Match, RuleHeader } from "../../../src/model/rule.ts";
import { type PacketContext, rewriteByRules } from "../../../src/rewrite/oracle/oracle.ts";
import { extension, icmp, ipv4, ipv6, raw, sctp, tcp, udp } from "../../packets/build.ts";
import { REAL_IPV4, REAL_IPV6, VIP_IPV4, VIP_IPV6 } from "../../packets/catalogue.ts";
import { fragmentOf } from "../../packets/fragment.ts";
import { daddrRule, type RuleSketch } from "../../packets/rules.ts";

const CONTEXT: PacketContext = {
	inInterface: "eth0",
	outInterface: "",
	mark: 0x80000010,
	sourceMac: [2, 0, 0, 0, 0, 1],
	local: [prefix("192.0.2.10/32"), prefix("127.0.0.0/8")],
};

function prefix(text: string): ReturnType<typeof prefixOf> {
	const [address = "", length] = text.split("/");
	const parsed = parseAddress(address);
	assert.ok(parsed !== undefined, text);
	return prefixOf(parsed, Number(length));
}

const PACKET = ipv4(
	{ dscp: 46, ecn: 2, ttl: 64 },
	tcp({ sourcePort: 1000, destinationPort: 80, data: "1234" }),
);

/** "match", or the first condition that the packet fails. */
function ask(sketch: RuleSketch, packet = PACKET, context = CONTEXT): string {
	const vip = (packet[0] ?? 0) >> 4 === 4 ? VIP_IPV4 : VIP_IPV6;
	const result = rewriteByRules(packet, [daddrRule(vip, sketch)], context);
	assert.ok(result.evaluated);
	const [outcome] = result.outcomes;
	assert.ok(outcome !== undefined);
	if (outcome.matched) return "match";
	const { failed } = outcome;
	if (failed.part === "header") return failed.field;
	return failed.part === "match" ? `match ${failed.index}` : failed.part;
}

const plain = { negated: false } as const;
const not = { negated: true } as const;
const tcpHeader: RuleHeader = { protocol: { ...plain, number: 6 } };

suite("a match holds or not, and its negation the other way round", () => {
	const holds: readonly (readonly [string, (negated: boolean) => Match, boolean])[] = [
		["the DSCP", (negated) => ({ kind: "dscp", dscp: dscp(46), negated }), true],
		["another DSCP", (negated) => ({ kind: "dscp", dscp: dscp(47), negated }), false],
		["the TOS byte", (negated) => ({ kind: "tos", value: 0xba, mask: 0xff, negated }), true],
		["the TOS byte without ECN", (negated) => ({ kind: "tos", value: 0xb8, mask: 0xfc, negated }), true],
		["TOS bits outside the mask", (negated) => ({ kind: "tos", value: 0xba, mask: 0xfc, negated }), false],
		["ECN", (negated) => ({ kind: "ecn", ect: 2, negated }), true],
		["another ECN", (negated) => ({ kind: "ecn", ect: 1, negated }), false],
		["the mark", (negated) => ({ kind: "mark", value: 0x80000010, mask: 0xffffffff, negated }), true],
		[
			"the mark's top bit",
			(negated) => ({ kind: "mark", value: 0x80000000, mask: 0x80000000, negated }),
			true,
		],
		["another mark", (negated) => ({ kind: "mark", value: 1, mask: 0xff, negated }), false],
		["the MAC", (negated) => ({ kind: "mac", source: [2, 0, 0, 0, 0, 1], negated }), true],
		["another MAC", (negated) => ({ kind: "mac", source: [2, 0, 0, 0, 0, 2], negated }), false],
		["LOCAL", (negated) => ({ kind: "addrtype", destinationType: "LOCAL", negated }), true],
		["the length", (negated) => ({ kind: "length", first: 44, last: 44, negated }), true],
		["a longer length", (negated) => ({ kind: "length", first: 45, last: 65535, negated }), false],
		["the TTL", (negated) => ({ kind: "ttl", comparison: "eq", value: 64, negated }), true],
	];
	for (const [title, match, expected] of holds) {
		test(title, () => {
			assert.equal(ask({ matches: [match(false)] }), expected ? "match" : "match 0");
			assert.equal(ask({ matches: [match(true)] }), expected ? "match 0" : "match");
		});
	}
});

test("TTL less than and greater than exclude the limit itself", () => {
	const ttl = (comparison: "lt" | "gt", value: number): Match => ({
		kind: "ttl",
		comparison,
		value,
		...plain,
	});
	const asked = [ttl("lt", 64), ttl("lt", 65), ttl("gt", 64), ttl("gt", 63)].map((one) =>
		ask({ matches: [one] }),
	);
	assert.deepEqual(asked, ["match 0", "match", "match 0", "match"]);
});

test("the first failing condition is named, in the kernel's order", () => {
	const header: RuleHeader = {
		source: { ...plain, prefix: prefix("198.51.100.0/24") },
		destination: { ...not, prefix: prefix("192.0.2.0/24") },
		protocol: { ...plain, number: 17 },
	};
	assert.equal(ask({ header }), "destination");
	const { destination: _, ...rest } = header;
	assert.equal(ask({ header: rest }), "protocol");
	const matches: Match[] = [
		{ kind: "comment", text: "always" },
		{ kind: "ecn", ect: 0, ...plain },
	];
	assert.equal(ask({ matches }), "match 1");
	assert.equal(ask({}, ipv6({}, tcp())), "match");
	const other = rewriteByRules(PACKET, [daddrRule(VIP_IPV6)], CONTEXT);
	assert.deepEqual(other.evaluated && other.outcomes, [{ matched: false, failed: { part: "family" } }]);
});

test("interfaces match by name and by prefix; a missing interface matches only a negation", () => {
	const on = (name: string, wildcard: boolean, negated = false): InterfaceMatch => ({
		name,
		wildcard,
		negated,
	});
	const input = (match: InterfaceMatch) => ask({ header: { inInterface: match } });
	assert.equal(input(on("eth0", false)), "match");
	assert.equal(input(on("eth", false)), "inInterface");
	assert.equal(input(on("eth", true)), "match");
	assert.equal(input(on("", true)), "match");
	assert.equal(input(on("", true, true)), "inInterface");
	assert.equal(ask({ header: { outInterface: on("eth0", false) } }), "outInterface");
	assert.equal(ask({ header: { outInterface: on("eth0", false, true) } }), "match");
});

test("without an Ethernet header neither a MAC nor its negation matches", () => {
	const { sourceMac: _, ...context } = CONTEXT;
	for (const negated of [false, true]) {
		const matches: Match[] = [{ kind: "mac", source: [2, 0, 0, 0, 0, 1], negated }];
		assert.equal(ask({ matches }, PACKET, context), "match 0");
	}
});

suite("ports", () => {
	const range = (first: number, last = first) => ({ first, last });
	const to = (first: number, last = first, negated = false): Match => ({
		kind: "ports",
		module: "tcp",
		destination: { first, last, negated },
	});
	const multi = (direction: "source" | "destination" | "either", negated = false): Match => ({
		kind: "multiport",
		direction,
		ports: [range(22), range(80, 90)],
		negated,
	});

	test("compare with ranges, inclusive", () => {
		const asked = [to(80), to(80, 81), to(81, 65535), to(80, 80, true)].map((match) =>
			ask({ header: tcpHeader, matches: [match] }),
		);
		assert.deepEqual(asked, ["match", "match", "match 0", "match 0"]);
	});

	test("of a multiport match are compared on the side that it names", () => {
		const asked = [multi("source"), multi("destination"), multi("either"), multi("either", true)].map(
			(match) => ask({ header: tcpHeader, matches: [match] }),
		);
		assert.deepEqual(asked, ["match 0", "match", "match", "match 0"]);
	});

	test("are missing in later fragments, even for a negated match", () => {
		const whole = ipv4({}, tcp({ destinationPort: 80, data: "x".repeat(100) }));
		const later = fragmentOf(whole, 48, 96);
		const matches = [to(80), to(80, 80, true), multi("either", true), multi("either")];
		for (const match of matches) assert.equal(ask({ header: tcpHeader, matches: [match] }, later), "match 0");
		const first = fragmentOf(whole, 0, 48);
		assert.equal(ask({ header: tcpHeader, matches: [to(80)] }, first), "match");
	});

	test("are present as soon as four bytes of the transport header are", () => {
		const cut = (length: number) =>
			ipv4({}, raw(6, tcp({}).encode({ source: [], destination: [] }).slice(0, length)));
		assert.equal(ask({ header: tcpHeader, matches: [to(80)] }, cut(4)), "match");
		assert.equal(ask({ header: tcpHeader, matches: [to(80)] }, cut(3)), "match 0");
	});

	test("of another protocol than the module's never match", () => {
		assert.equal(ask({ matches: [to(80)] }, ipv4({}, udp())), "match 0");
		assert.equal(ask({ matches: [to(80)] }, ipv4({}, sctp())), "match 0");
	});
});

suite("the protocol of an IPv6 packet", () => {
	const protocol = (number: number, negated = false): RuleSketch => ({
		header: { protocol: { number, negated } },
	});

	test("is the last header of the chain", () => {
		const extensions = [extension.hopByHop(), extension.authentication(), extension.destinationOptions()];
		const packet = ipv6({ extensions }, udp());
		assert.deepEqual(
			[17, 0, 51, 60].map((number) => ask(protocol(number), packet)),
			["match", "protocol", "protocol", "protocol"],
		);
	});

	test("is mobility, HIP or shim6 where the kernel stops, whatever follows", () => {
		const packet = ipv6({ extensions: [extension.mobility()] }, tcp());
		assert.equal(ask(protocol(135), packet), "match");
		assert.equal(ask(protocol(6), packet), "protocol");
	});

	test("is known in a later fragment, unless more of the chain is in the first", () => {
		const later = fragmentOf(ipv6({}, udp({ data: "x".repeat(50) })), 16, 40);
		assert.equal(ask(protocol(17), later), "match");
		const hidden = fragmentOf(
			ipv6({ extensions: [extension.destinationOptions()] }, udp({ data: "x".repeat(50) })),
			16,
			40,
		);
		assert.equal(ask(protocol(17), hidden), "protocol");
		assert.equal(ask(protocol(17, true), hidden), "protocol");
	});

	test("is unknown for a match and its negation if the chain is broken", () => {
		const broken = ipv6({}, raw(60, [6]));
		assert.equal(ask(protocol(6), broken), "protocol");
		assert.equal(ask(protocol(6, true), broken), "protocol");
		assert.equal(ask({}, broken), "match");
	});
});

test("-f matches later fragments, ! -f all others", () => {
	const whole = ipv4({}, icmp("x".repeat(40)));
	const later = fragmentOf(whole, 24, 40);
	const asked = [plain, not].flatMap((fragment) => [
		ask({ header: { fragment } }, whole),
		ask({ header: { fragment } }, later),
	]);
	assert.deepEqual(asked, ["fragment", "match", "match", "fragment"]);
});

test("a rule sees the packet as the rules before it have changed it", () => {
	const rules = [
		daddrRule(VIP_IPV4, { dscp: 46, dport: 8080, clearDscp: true }),
		daddrRule(REAL_IPV4, { dscp: 46 }),
		daddrRule(REAL_IPV4, { matches: [{ kind: "addrtype", destinationType: "LOCAL", ...plain }] }),
		daddrRule("192.0.2.77", {
			dscp: 0,
			header: { ...tcpHeader, destination: { ...plain, prefix: prefix(`${VIP_IPV4}/32`) } },
			matches: [{ kind: "ports", module: "tcp", destination: { first: 8080, last: 8080, ...plain } }],
		}),
	];
	const result = rewriteByRules(PACKET, rules, CONTEXT);
	assert.ok(result.evaluated);
	assert.deepEqual(
		result.outcomes.map((outcome) => outcome.matched),
		[true, false, false, true],
	);
	const expected = ipv4(
		{ destination: "192.0.2.77", ecn: 2 },
		tcp({ sourcePort: 1000, destinationPort: 8080, data: "1234" }),
	);
	assert.deepEqual(Buffer.from(result.bytes), Buffer.from(expected));
});

test("bytes after the IP packet are neither counted nor changed", () => {
	const padding = new Uint8Array(20).fill(0xee);
	for (const packet of [
		ipv4({ destination: REAL_IPV4 }, raw(6, [0, 1, 0, 2])),
		ipv6({ destination: REAL_IPV6 }, raw(6, "")),
	]) {
		const padded = Uint8Array.from([...packet, ...padding]);
		const vip = (packet[0] ?? 0) >> 4 === 4 ? VIP_IPV4 : VIP_IPV6;
		const result = rewriteByRules(padded, [daddrRule(vip, { dport: 99 })], CONTEXT);
		assert.ok(result.evaluated);
		assert.equal(result.length, packet.length);
		assert.equal(result.malformed, "transport-cut");
		assert.deepEqual(Buffer.from(result.bytes.subarray(packet.length)), Buffer.from(padding));
	}
});
