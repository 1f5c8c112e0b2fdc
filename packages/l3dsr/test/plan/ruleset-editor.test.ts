import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { runs } from "../../../../test/support/property-runs.ts";
import { L3dsrError } from "../../src/errors.ts";
import { type Rule, ZERO_COUNTERS } from "../../src/model/rule.ts";
import { ORDINAL_STEP } from "../../src/model/ruleset.ts";
import { type ChainEdit, type PlacedRule, RulesetEditor } from "../../src/plan/ruleset-editor.ts";
import { parseRuleSpec } from "../../src/syntax/iptables/rule-parser.ts";

const place = { family: "ipv4", table: "mangle", chain: "INPUT" } as const;

function rule(number: number): Rule {
	return parseRuleSpec(`-m mark --mark ${number} -j DADDR --set-daddr 198.51.100.7`, place);
}

function observed(...numbers: number[]): PlacedRule[] {
	return numbers.map((number, index) => ({
		rule: rule(number),
		ordinal: (index + 1) * ORDINAL_STEP,
		counters: { packets: BigInt(number), bytes: BigInt(number * 100) },
	}));
}

function numbers(editor: RulesetEditor): number[] {
	return editor.chain(place).map((one) => {
		const [match] = one.rule.matches;
		assert.equal(match?.kind, "mark");
		return match.value;
	});
}

function fails(work: () => void, message: string): void {
	assert.throws(work, (error) => {
		assert.ok(error instanceof L3dsrError);
		assert.equal(error.code, "RULE_NOT_FOUND");
		assert.equal(error.message, message);
		return true;
	});
}

describe("edits of a chain", () => {
	test("append puts rules last, a step after the last ordinal, with counters at zero", () => {
		const editor = new RulesetEditor(observed(1, 2));
		editor.apply(place, { kind: "append", rules: [rule(3), rule(4)] });
		assert.deepEqual(numbers(editor), [1, 2, 3, 4]);
		assert.deepEqual(
			editor.ruleset().entries.map(({ ordinal, counters }) => [ordinal, counters]),
			[
				[1024, undefined],
				[2048, undefined],
				[3072, ZERO_COUNTERS],
				[4096, ZERO_COUNTERS],
			],
		);
	});

	test("insert takes the midpoint of its neighbours and keeps their ordinals and counters", () => {
		const editor = new RulesetEditor(observed(1, 2));
		editor.apply(place, { kind: "insert", at: 2, rules: [rule(9)], counters: { packets: 5n, bytes: 6n } });
		editor.apply(place, { kind: "insert", at: 1, rules: [rule(8)] });
		editor.apply(place, { kind: "insert", at: 5, rules: [rule(7)] });
		assert.deepEqual(numbers(editor), [8, 1, 9, 2, 7]);
		assert.deepEqual(
			editor.ruleset().entries.map((entry) => [entry.ordinal, entry.counters]),
			[
				[512, ZERO_COUNTERS],
				[1024, undefined],
				[1536, { packets: 5n, bytes: 6n }],
				[2048, undefined],
				[3072, ZERO_COUNTERS],
			],
		);
	});

	test("insert renumbers the chain if there is no space, and keeps the counters", () => {
		const [first, second] = observed(1, 2);
		assert.ok(first !== undefined && second !== undefined);
		const editor = new RulesetEditor([first, { ...second, ordinal: 1025 }]);
		editor.apply(place, { kind: "insert", at: 2, rules: [rule(3)] });
		assert.deepEqual(numbers(editor), [1, 3, 2]);
		assert.deepEqual(editor.ruleset().entries, [
			{ rule: rule(1), ordinal: 1024, counters: first.counters },
			{ rule: rule(3), ordinal: 2048, counters: ZERO_COUNTERS },
			{ rule: rule(2), ordinal: 3072, counters: second.counters },
		]);
	});

	test("insert of several rules puts the last first, as iptables does", () => {
		const editor = new RulesetEditor(observed(1));
		editor.apply(place, { kind: "insert", at: 1, rules: [rule(2), rule(3)] });
		assert.deepEqual(numbers(editor), [3, 2, 1]);
	});

	test("replace keeps the place and resets the counters to zero", () => {
		const editor = new RulesetEditor(observed(1, 2));
		editor.apply(place, { kind: "replace", at: 2, rule: rule(5) });
		assert.deepEqual(editor.ruleset().entries, [
			{ rule: rule(1), ordinal: 1024 },
			{ rule: rule(5), ordinal: 2048, counters: ZERO_COUNTERS },
		]);
	});

	test("delete by rule deletes the first equal one, by number the one at that position", () => {
		const editor = new RulesetEditor(observed(1, 2, 1, 3));
		editor.apply(place, { kind: "delete-rule", rules: [rule(1)] });
		assert.deepEqual(numbers(editor), [2, 1, 3]);
		editor.apply(place, { kind: "delete-number", at: 3 });
		assert.deepEqual(numbers(editor), [2, 1]);
	});

	test("a rule that is deleted and added again starts at zero", () => {
		const editor = new RulesetEditor(observed(1));
		editor.apply(place, { kind: "flush" });
		editor.apply(place, { kind: "append", rules: [rule(1)] });
		assert.deepEqual(editor.ruleset().entries, [{ rule: rule(1), ordinal: 1024, counters: ZERO_COUNTERS }]);
	});

	test("zero resets the counters of a chain or of one rule", () => {
		const editor = new RulesetEditor(observed(1, 2));
		editor.apply(place, { kind: "zero", at: 2 });
		assert.deepEqual(
			editor.ruleset().entries.map(({ counters }) => counters),
			[undefined, ZERO_COUNTERS],
		);
		editor.apply(place, { kind: "zero" });
		assert.deepEqual(
			editor.ruleset().entries.map(({ counters }) => counters),
			[ZERO_COUNTERS, ZERO_COUNTERS],
		);
	});

	test("a missing chain, rule or table is refused in iptables' words, and nothing changes", () => {
		const editor = new RulesetEditor(observed(1, 2));
		const before = editor.ruleset();
		const index = (kind: string): string => `Index of ${kind} too big.`;
		fails(() => editor.apply(place, { kind: "insert", at: 4, rules: [rule(3)] }), index("insertion"));
		fails(() => editor.apply(place, { kind: "replace", at: 3, rule: rule(3) }), index("replacement"));
		fails(() => editor.apply(place, { kind: "delete-number", at: 3 }), index("deletion"));
		fails(() => editor.apply(place, { kind: "zero", at: 3 }), index("counter"));
		const bad = "Bad rule (does a matching rule exist in that chain?).";
		fails(() => editor.apply(place, { kind: "delete-rule", rules: [rule(1), rule(1)] }), bad);
		fails(() => editor.apply(place, { kind: "check", rules: [rule(1), rule(3)] }), bad);
		editor.apply(place, { kind: "check", rules: [rule(1), rule(2)] });
		assert.deepEqual(editor.ruleset(), before);
	});

	test("other chains and the other family stay as they are", () => {
		const other = parseRuleSpec("-j DADDR --set-daddr 2001:db8::1", { ...place, family: "ipv6" });
		const here = { rule: other, ordinal: 7, counters: { packets: 1n, bytes: 1n } };
		const editor = new RulesetEditor([...observed(1), here]);
		editor.apply(place, { kind: "flush" });
		assert.deepEqual(editor.ruleset().entries, [{ rule: other, ordinal: 7 }]);
	});
});

test("any sequence of edits gives the list of a plain array, with rising ordinals", () => {
	const step = fc.record({
		kind: fc.constantFrom("append", "insert", "replace", "delete", "zero"),
		at: fc.nat({ max: 30 }),
		mark: fc.integer({ min: 1, max: 5 }),
	});
	fc.assert(
		fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
			const editor = new RulesetEditor(observed(1, 2, 3));
			const model = [1, 2, 3];
			for (const { kind, at: any, mark } of steps) {
				const at = 1 + (any % (model.length + (kind === "insert" ? 1 : 0) || 1));
				const rules = [rule(mark)];
				let edit: ChainEdit = { kind: "zero", at };
				if (kind === "append") {
					edit = { kind, rules };
					model.push(mark);
				} else if (kind === "insert") {
					edit = { kind, at, rules };
					model.splice(at - 1, 0, mark);
				} else if (model.length > 0 && kind === "replace") {
					edit = { kind, at, rule: rule(mark) };
					model[at - 1] = mark;
				} else if (model.length > 0 && kind === "delete") {
					edit = { kind: "delete-number", at };
					model.splice(at - 1, 1);
				}
				// An empty chain has no rule whose counters could be reset.
				if (edit.kind !== "zero" || model.length > 0) editor.apply(place, edit);
			}
			assert.deepEqual(numbers(editor), model);
			const ordinals = editor.chain(place).map(({ ordinal }) => ordinal);
			for (const [index, ordinal] of ordinals.entries()) {
				assert.ok(Number.isSafeInteger(ordinal) && ordinal > (ordinals[index - 1] ?? 0));
			}
		}),
		{ numRuns: runs(200) },
	);
});
