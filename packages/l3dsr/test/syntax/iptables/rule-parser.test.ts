import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { runs } from "../../../../../test/support/property-runs.ts";
import { formatRuleSpec } from "../../../src/syntax/iptables/rule-format.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { arbitraryRule } from "../../arbitrary/rule.ts";

test("a printed rule is read as the same rule, and printed as the same text", () => {
	fc.assert(
		fc.property(arbitraryRule(), (rule) => {
			const text = formatRuleSpec(rule);
			const again = parseRuleSpec(text, rule);
			assert.deepEqual(again, rule);
			assert.equal(formatRuleSpec(again), text);
		}),
		{ numRuns: runs(3000) },
	);
});
