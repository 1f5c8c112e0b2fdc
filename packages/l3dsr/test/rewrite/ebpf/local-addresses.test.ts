import assert from "node:assert/strict";
import { test } from "node:test";
import { type Address, addressBits, dscp, parseAddress, prefixOf } from "@l3dsr/packet";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { type LoweringOptions, lowerService } from "../../../src/model/lower-service.ts";
import type { Service } from "../../../src/model/service.ts";
import { planDispatch } from "../../../src/rewrite/ebpf/compile/dispatch.ts";
import { type PacketContext, rewriteByRules } from "../../../src/rewrite/oracle/oracle.ts";
import { ipv4, ipv6, tcp } from "../../packets/build.ts";
import { assertSamePacket } from "../../packets/diff.ts";
import { LoadedRules, TC, XDP } from "./run.ts";

failOnLeaks();

const IN: LoweringOptions = {
	table: "raw",
	interfaces: [{ name: "in0", wildcard: false }],
	localOnly: true,
	signed: true,
};

function address(text: string): Address {
	const parsed = parseAddress(text);
	assert(parsed !== undefined);
	return parsed;
}

function service(vip: string, code: number, more: Partial<Service> = {}): Service {
	return { name: vip, vip: address(vip), selection: { dscp: dscp(code) }, clearDscp: false, ...more };
}

const COUNT = 60;
const CODES = Array.from({ length: COUNT }, (_, index) => index + 1);
const SERVICES = CODES.flatMap((code) => [
	service(`192.0.2.${code}`, code),
	service(`2001:db8::${code}`, code),
]);
/** The addresses of a host with those services, including VIPs. */
const LOCAL = [
	prefixOf(address("127.0.0.0"), 8),
	...["10.0.0.2", "fd00::2", "::1", ...SERVICES.map(({ vip }) => vip.text)].map((text) => {
		const one = address(text);
		return prefixOf(one, addressBits(one.family));
	}),
];
const CONTEXT: PacketContext = {
	inInterface: "in0",
	outInterface: "",
	mark: 0,
	sourceMac: [2, 0, 0, 0, 0, 1],
	local: LOCAL,
};

/** To this host, to a VIP already, to the loopback prefix, and elsewhere; with every DSCP. */
const PACKETS = Array.from({ length: 64 }, (_, code) => [
	...["10.0.0.2", "192.0.2.9", "127.0.0.7", "10.0.0.3"].map((destination) =>
		ipv4({ source: "203.0.113.1", destination, dscp: code }, tcp()),
	),
	...["fd00::2", "2001:db8::9", "fd00::3"].map((destination) =>
		ipv6({ source: "2001:db8:c::1", destination, dscp: code }, tcp()),
	),
]).flat();

for (const [what, services] of [
	["plain services", SERVICES],
	[
		"services of which some ask for more",
		SERVICES.map((one, index) => (index % 7 === 0 ? { ...one, clearDscp: true } : one)),
	],
] as const) {
	test(`${what}, 60 of each family: only packets for this host are rewritten, as by the oracle`, () => {
		const rules = services.flatMap((one) => lowerService(one, IN));
		for (const target of [TC, XDP]) {
			using loaded = new LoadedRules(rules, { local: LOCAL }, target);
			let rewritten = 0n;
			for (const packet of PACKETS) {
				const oracle = rewriteByRules(packet, rules, CONTEXT);
				assert(oracle.evaluated);
				assertSamePacket(loaded.run(packet, CONTEXT, false), oracle.bytes, target.hook);
				if (oracle.outcomes.some(({ matched }) => matched)) rewritten++;
			}
			assert.equal(rewritten, BigInt(5 * COUNT));
			const counted = loaded.counted().rules.reduce((sum, { packets }) => sum + packets, 0n);
			assert.equal(counted, rewritten);
		}
	});
}

test("services share one table, and a packet's destination is looked up in it once", () => {
	const slotted = SERVICES.flatMap((one) => lowerService(one, IN))
		.filter(({ family }) => family === "ipv4")
		.map((rule, index) => ({ rule, ordinal: index, slot: index + 4 }));
	const { plain, plainLocal, groups } = planDispatch(slotted);
	assert.deepEqual([plain.size, plainLocal.size, groups.length], [0, COUNT, 0]);
	const typed = slotted.map(({ rule, ...rest }, index) => ({
		...rest,
		rule: index === 0 ? { ...rule, matches: rule.matches.filter(({ kind }) => kind !== "addrtype") } : rule,
	}));
	const mixed = planDispatch(typed);
	assert.deepEqual([mixed.plain.size, mixed.plainLocal.size, mixed.groups.length], [1, COUNT - 1, 0]);
});
