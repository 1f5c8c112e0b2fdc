import assert from "node:assert/strict";
import { test } from "node:test";
import { dscp, parseAddress } from "@l3dsr/packet";
import { lowerService } from "../../../src/model/lower-service.ts";
import { RuleReader, readComment, ruleComments } from "../../../src/rewrite/nft/compile/comment.ts";
import { foldableShape } from "../../../src/rewrite/nft/compile/compile.ts";

/** The rule that `up` creates for a VIP under its own name. */
function serviceRule(vip: string, name: string) {
	const address = parseAddress(vip);
	assert(address !== undefined);
	const [rule] = lowerService(
		{ name, vip: address, selection: { dscp: dscp(63) }, clearDscp: false },
		{ table: "raw", localOnly: true, signed: true },
	);
	assert(rule !== undefined);
	return rule;
}

test("services' rules fit a map's element, even the longest VIPs and names of two words", () => {
	for (const [vip, name] of [
		["192.0.2.10", "web"],
		["203.198.151.100", "a-service-with-quite-a-long-name"],
		["2001:db8::10", "2001:db8::10"],
		["2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff"],
	] as const) {
		const rule = serviceRule(vip, name);
		const comments = ruleComments(1_024_000, rule);
		assert.equal(comments.length, 1, comments[0]);
		assert(foldableShape({ rule, ordinal: 1_024_000 }) !== undefined);
		const read = readComment(comments[0]);
		assert.deepEqual(new RuleReader().read([read?.text ?? ""], rule), rule);
	}
});

test("a rule whose own words look like an abbreviation is read back unchanged", () => {
	const rule = serviceRule("2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff", "web");
	const comment = { kind: "comment", text: `~1 %7e ~9 "~" ${"x".repeat(40)}` } as const;
	const odd = { ...rule, matches: [...rule.matches, comment] };
	const texts = ruleComments(7, odd).map((text) => readComment(text)?.text ?? "");
	assert.deepEqual(new RuleReader().read(texts, odd), odd);
	assert.equal(new RuleReader().read(["-m dscp ~9"], rule), undefined);
});
