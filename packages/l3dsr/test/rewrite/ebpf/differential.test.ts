import assert from "node:assert/strict";
import { test } from "node:test";
import { type Malformed, parseAddress, prefixOf } from "@l3dsr/packet";
import fc from "fast-check";
import { kernelHas } from "../../../../../test/support/kernel.ts";
import type { Match, Rule } from "../../../src/model/rule.ts";
import type { CompileTarget } from "../../../src/rewrite/ebpf/compile/target.ts";
import { hookLacks } from "../../../src/rewrite/ebpf/compile/target.ts";
import { type PacketContext, rewriteByRules } from "../../../src/rewrite/oracle/oracle.ts";
import { formatRuleSpec } from "../../../src/syntax/iptables/rule-format.ts";
import {
	arbitraryMatchingRule,
	arbitraryPacket,
	arbitraryServiceRule,
	type RandomPacket,
	VOCABULARY,
} from "../../packets/arbitrary.ts";
import { macBytes } from "../../packets/build.ts";
import { assertEquivalentPacket, assertSamePacket } from "../../packets/diff.ts";
import { HELPER_TC, LoadedRules, OLD_TC, TC, XDP } from "./run.ts";

/** Rulesets in a run; the long run has more. */
const RULESETS = Number(process.env["L3DSR_DIFFERENTIAL_RULESETS"] ?? 130);
const PACKETS = 48;
const IN = "in0";

const local = ["192.0.2.10/32", "127.0.0.0/8", "2001:db8:a::10/128", "::1/128"].map((text) => {
	const [address = "", length = ""] = text.split("/");
	const parsed = parseAddress(address);
	if (parsed === undefined) throw new Error(text);
	return prefixOf(parsed, Number(length));
});

/** A rule that the program of `in0` can hold. */
function arbitraryIngressRule(family: "ipv4" | "ipv6", target: CompileTarget): fc.Arbitrary<Rule> {
	return arbitraryMatchingRule(family, { follows: true })
		.map(
			(rule): Rule => ({
				...rule,
				header: { ...rule.header, inInterface: { name: IN, wildcard: false, negated: false } },
			}),
		)
		.filter((rule) => hookLacks(rule, target.hook) === undefined);
}

/** Mostly one plain rule for a DSCP, as operators write them. */
function arbitraryPlainRule(family: "ipv4" | "ipv6", target: CompileTarget): fc.Arbitrary<Rule> {
	return arbitraryIngressRule(family, target).map((rule) => {
		const [dscps, locals] = (["dscp", "addrtype"] as const).map((wanted) =>
			rule.matches.filter(({ kind }) => kind === wanted).map((match) => ({ ...match, negated: false })),
		) as [Match[], Match[]]; // one of each kind
		return {
			...rule,
			header: { inInterface: { name: IN, wildcard: false, negated: false } },
			matches: [...dscps.slice(0, 1), ...locals.slice(0, 1)],
			target: { daddr: rule.target.daddr, clearDscp: false },
		};
	});
}

/** Rules of services with ports, beside others: ICMP errors and later fragments follow them. */
const arbitraryServiceRules: fc.Arbitrary<readonly Rule[]> = fc.array(
	fc
		.constantFrom("ipv4" as const, "ipv6" as const)
		.chain(arbitraryServiceRule)
		.map((rule) => ({
			...rule,
			header: { ...rule.header, inInterface: { name: IN, wildcard: false, negated: false } },
		})),
	{ minLength: 6, maxLength: 12 },
);

function arbitraryRules(target: CompileTarget): fc.Arbitrary<readonly Rule[]> {
	const families = fc.constantFrom("ipv4" as const, "ipv6" as const);
	const rule = families.chain((family) =>
		fc.oneof(arbitraryIngressRule(family, target), arbitraryPlainRule(family, target)),
	);
	return fc.array(rule, { minLength: 1, maxLength: 8 });
}

const arbitraryContext: fc.Arbitrary<PacketContext> = fc
	.record({ mark: fc.constantFrom(...VOCABULARY.marks), mac: fc.constantFrom(...VOCABULARY.macs) })
	.map(({ mark, mac }) => ({ inInterface: IN, outInterface: "", mark, sourceMac: macBytes(mac), local }));

const NO_MALFORMED: Record<Malformed, bigint> = {
	"transport-cut": 0n,
	"extension-chain-cut": 0n,
	"extension-chain-long": 0n,
};

function compare(
	target: CompileTarget,
	rules: readonly Rule[],
	packets: readonly [RandomPacket, PacketContext][],
	summed: boolean,
): void {
	using loaded = new LoadedRules(rules, { local }, target);
	const expected = rules.map(() => ({ packets: 0n, bytes: 0n }));
	const malformed = { ...NO_MALFORMED };
	for (const [packet, context] of packets) {
		const oracle = rewriteByRules(packet.bytes, rules, context);
		const out = runOne(loaded, packet, context, summed);
		if (!oracle.evaluated) {
			assertSamePacket(out, packet.bytes, "an unreadable packet was changed");
			continue;
		}
		assertEquivalentPacket(
			out,
			oracle.bytes,
			`the program's packet differs from the oracle's; in: ${packet}`,
		);
		oracle.outcomes.forEach(({ matched }, index) => {
			const counter = expected[index];
			if (!matched || counter === undefined) return;
			counter.packets += 1n;
			counter.bytes += BigInt(oracle.length);
		});
		if (oracle.malformed !== undefined) malformed[oracle.malformed] += 1n;
	}
	const counted = loaded.counted();
	assert.deepEqual(counted.rules, expected, "counters of the rules");
	assert.deepEqual(counted.malformed, malformed, "counters of malformed packets");
}

function runOne(
	loaded: LoadedRules,
	packet: RandomPacket,
	context: PacketContext,
	summed: boolean,
): Uint8Array {
	try {
		return loaded.run(packet.bytes, context, summed);
	} catch (error) {
		// EBADMSG: the network card's sum of the whole packet (CHECKSUM_COMPLETE) is no longer right.
		throw new Error(`${String(error)}${summed ? " (packet with CHECKSUM_COMPLETE)" : ""}; in: ${packet}`);
	}
}

/** Whether the kernel checks the network card's sum of a packet (CHECKSUM_COMPLETE). */
const CHECKS_SUMS = kernelHas("testRunChecksumComplete");

for (const [name, target, share] of [
	["tc", TC, 1],
	["tc by the helper, as compiled for kernels before 6.2", HELPER_TC, 0.4],
	["tc as compiled for kernels before 6.16", OLD_TC, 0.3],
	["XDP", XDP, 0.6],
] as const) {
	const skip = target.ipv6ChecksumFlag && !kernelHas("csumReplaceIpv6") && "this kernel lacks BPF_F_IPV6";
	test(`ICMP errors and fragments through rules of services at ${name} have the oracle's results`, {
		skip,
	}, () => {
		const runs = Math.max(16, Math.ceil(RULESETS * share * 0.2));
		let followed = 0;
		let portsSet = 0;
		fc.assert(
			fc.property(
				arbitraryServiceRules,
				fc.array(fc.tuple(arbitraryPacket({ errors: true }), arbitraryContext), {
					minLength: PACKETS,
					maxLength: PACKETS,
				}),
				fc.array(fc.tuple(arbitraryPacket(), arbitraryContext), { minLength: 8, maxLength: 8 }),
				fc.boolean(),
				(rules, errors, others, summed) => {
					compare(target, rules, [...errors, ...others], CHECKS_SUMS && summed && target.hook === "tc");
					for (const [packet, context] of errors) {
						const oracle = rewriteByRules(packet.bytes, rules, context);
						if (!oracle.evaluated) continue;
						const by = rules.filter((_, index) => oracle.outcomes[index]?.matched);
						if (by.length > 0) followed++;
						if (by.some((rule) => rule.target.dport !== undefined)) portsSet++;
					}
				},
			),
			{ numRuns: runs, endOnFailure: true },
		);
		assert.ok(followed > runs / 8 && portsSet > 0, `${followed} followed a rule, ${portsSet} had a port set`);
	});
	const title = `random packets through random rules at ${name} come out as the oracle says, and are counted alike`;
	test(title, { skip }, () => {
		// No shrinking: each step would load a program, and a failure shows its packets completely.
		const details = fc.check(
			fc.property(
				arbitraryRules(target),
				fc.array(fc.tuple(arbitraryPacket(), arbitraryContext), { minLength: PACKETS, maxLength: PACKETS }),
				fc.boolean(),
				(rules, packets, summed) =>
					compare(target, rules, packets, CHECKS_SUMS && summed && target.hook === "tc"),
			),
			{ numRuns: Math.ceil(RULESETS * share), endOnFailure: true },
		);
		if (!details.failed) return;
		const [rules = []] = details.counterexample ?? [];
		const text = rules.map((rule) => `${rule.family} ${formatRuleSpec(rule)}`).join("\n");
		assert.fail(
			`${String(details.errorInstance)}\nrules:\n${text}\nseed ${details.seed}, path ${details.counterexamplePath}`,
		);
	});
}
