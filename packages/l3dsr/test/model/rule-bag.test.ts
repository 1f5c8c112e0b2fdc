import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { sameRule } from "../../src/model/rule.ts";
import { RuleBag } from "../../src/model/rule-bag.ts";
import { arbitraryRule } from "../arbitrary/rule.ts";

/** A few different rules, each copied, so that some are equal. */
const rules = fc.array(arbitraryRule(), { minLength: 1, maxLength: 4 }).chain((some) =>
	fc.array(
		fc.constantFrom(...some).map((rule) => structuredClone(rule)),
		{ maxLength: 12 },
	),
);

test("a bag of rules finds the same rules as a linear search, and returns each once", () => {
	fc.assert(
		fc.property(rules, rules, (held, asked) => {
			const bag = new RuleBag(held);
			const left = [...held];
			for (const rule of [...asked, ...held]) {
				const index = left.findIndex((one) => sameRule(one, rule));
				assert.equal(bag.has(rule), index >= 0);
				assert.equal(bag.take(rule), index >= 0);
				if (index >= 0) left.splice(index, 1);
			}
			assert.deepEqual(bag.rules(), []);
		}),
	);
});

test("a bag of rules keeps the order of those with one VIP and interface", () => {
	fc.assert(
		fc.property(fc.array(arbitraryRule(), { maxLength: 12 }), (held) => {
			const place = (rule: (typeof held)[number]) =>
				`${rule.table} ${rule.header.inInterface?.name ?? ""} ${rule.target.daddr.text}`;
			assert.deepEqual(new RuleBag(held).rules(), [...Map.groupBy(held, place).values()].flat());
		}),
	);
});
