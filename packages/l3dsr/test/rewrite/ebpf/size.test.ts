import assert from "node:assert/strict";
import { test } from "node:test";
import { asm, Program } from "@l3dsr/bpf";
import fc from "fast-check";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { runs } from "../../../../../test/support/property-runs.ts";
import type { Rule } from "../../../src/model/rule.ts";
import { compileProgram } from "../../../src/rewrite/ebpf/compile/compile.ts";
import { planDispatch } from "../../../src/rewrite/ebpf/compile/dispatch.ts";
import { FIRST_RULE_SLOT, type SlottedRule } from "../../../src/rewrite/ebpf/compile/interface-rules.ts";
import { leastSlots, programLacks } from "../../../src/rewrite/ebpf/compile/size.ts";
import { hookLacks } from "../../../src/rewrite/ebpf/compile/target.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { arbitraryMatchingRule, arbitraryServiceRule } from "../../packets/arbitrary.ts";
import { daddrRule } from "../../packets/rules.ts";
import { TC, XDP } from "./run.ts";

failOnLeaks();

const PORTS = Array.from({ length: 15 }, (_, i) => 1000 + 2 * i).join(",");

const SHAPES: Readonly<Record<string, (index: number) => string>> = {
	"IPv4, DSCP and clear": (i) => `-m dscp --dscp ${i % 64} -j DADDR --set-daddr 10.0.0.1 --clear-dscp`,
	"IPv6, DSCP and port": (i) => `-m dscp --dscp ${i % 64} -j DADDR --set-daddr fc00::${i + 1} --set-dport 80`,
	"IPv4, source": (i) => `-s 10.${i >> 8}.${i & 255}.0/24 -j DADDR --set-daddr 10.0.0.1`,
	"IPv6, all but one DSCP, by hop limit": (i) =>
		`-m dscp ! --dscp ${i % 64} -m hl --hl-gt ${i % 256} -j DADDR --set-daddr fc00::1`,
	"IPv6, source and fifteen ports": (i) =>
		`-s fc00::${i + 1} -p tcp -m multiport --ports ${PORTS} -j DADDR --set-daddr fc00::1 --set-dport 80`,
};

function rules(shape: string, count: number): Rule[] {
	const text = SHAPES[shape] ?? (() => "");
	return Array.from({ length: count }, (_, i) =>
		parseRuleSpec(`-i in0 ${text(i)}`, {
			family: shape.startsWith("IPv4") ? "ipv4" : "ipv6",
			table: "raw",
			chain: "PREROUTING",
		}),
	);
}

test("with dual-stack rules by DSCP, the verifier does not walk the extension headers too often", () => {
	const slotted = (["10.0.0.", "fc00::"] as const).flatMap((prefix) =>
		[1, 2, 3].map((code) => ({
			rule: daddrRule(`${prefix}${code}`, { dscp: code }),
			ordinal: code,
			slot: FIRST_RULE_SLOT + code,
		})),
	);
	const spec = compileProgram({ rules: slotted, local: [] }, TC, FIRST_RULE_SLOT + 4);
	using program = Program.load(spec);
	// The time for a change of the rules depends mostly on the number of instructions that the verifier
	// processes.
	const { verifiedInsns } = program.info;
	assert.ok(verifiedInsns < 4 * spec.instructions.length, `${verifiedInsns} of ${spec.instructions.length}`);
});

for (const target of [TC, XDP]) {
	// At XDP each checksum update is separate code: the first and the last shape show its cost.
	for (const shape of Object.keys(SHAPES).filter((_, i) => target === TC || i % 4 === 0)) {
		test(`${shape}: every announced size at ${target.hook} loads, up to the largest; the next size is refused`, async () => {
			const fits = async (count: number) => (await programLacks(rules(shape, count), target)) === undefined;
			assert.ok(await fits(64));
			// The largest size that fits, to 64 rules.
			let [most, least] = [64, 1600];
			while (least - most > 64) {
				const middle = (most + least) >> 1;
				if (await fits(middle)) most = middle;
				else least = middle;
			}
			assert.match(
				(await programLacks(rules(shape, least), target)) ?? "",
				/rules compile to a program of (at least )?\d+ instructions/,
			);
			const slotted = rules(shape, most).map((rule, i) => ({ rule, ordinal: i, slot: FIRST_RULE_SLOT + i }));
			using program = Program.load(
				compileProgram({ rules: slotted, local: [] }, target, FIRST_RULE_SLOT + most),
			);
			assert.ok(program.info.id > 0);
		});
	}
}

function slottedRules(list: readonly Rule[]): SlottedRule[] {
	return list.map((rule, index) => ({ rule, ordinal: index + 1, slot: FIRST_RULE_SLOT + index }));
}

test("a program is never shorter than its rules are said to be at least", () => {
	fc.assert(
		fc.property(
			fc.constantFrom(TC, XDP).chain((target) =>
				fc.constantFrom("ipv4" as const, "ipv6" as const).chain((family) =>
					fc.tuple(
						fc.constant(target),
						fc.array(
							fc.oneof(
								arbitraryMatchingRule(family, { follows: true }).filter(
									(rule) => hookLacks(rule, target.hook) === undefined,
								),
								arbitraryServiceRule(family),
							),
							{
								minLength: 1,
								maxLength: 4,
							},
						),
					),
				),
			),
			([target, list]) => {
				// So often that the code around the rules does not matter.
				const slotted = slottedRules(Array.from({ length: 25 }, () => list).flat());
				const { instructions } = compileProgram({ rules: slotted, local: [] }, target, 256);
				const slots = instructions.reduce((sum, one) => sum + asm.slotsOf(one), 0);
				assert.ok(leastSlots(planDispatch(slotted).groups) <= slots);
			},
		),
		{ numRuns: runs(30) },
	);
});

test("a thousand services with ports are refused without being compiled, and as many as fit are not", async () => {
	const services = (count: number): Rule[] =>
		Array.from({ length: count }, (_, i) =>
			parseRuleSpec(
				`-i in0 -p tcp -m dscp --dscp ${i % 63} -m tcp --dport ${8000 + i} -m addrtype --dst-type LOCAL -j DADDR --set-daddr 10.0.${i >> 8}.${i & 255}`,
				{ family: "ipv4", table: "raw", chain: "PREROUTING" },
			),
		);
	assert.match(
		(await programLacks(services(1000), TC)) ?? "",
		/^its interface's 1000 rules compile to a program of at least 20000 /,
	);
	assert.equal(await programLacks(services(600), TC), undefined);
});
