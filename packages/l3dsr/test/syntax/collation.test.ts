import assert from "node:assert/strict";
import { test } from "node:test";
import { collationOf } from "../../src/syntax/collation.ts";

const names = ["b.conf", "A.conf", "ä.conf", "a.conf", "B.conf", "Z.conf", "10.conf", "9.conf"];

function sorted(env: Record<string, string>): string {
	return [...names].sort(collationOf(env)).join(" ").replaceAll(".conf", "");
}

const bytes = "10 9 A B Z a b ä";
for (const [title, env] of [
	["no locale", {}],
	["C", { LC_ALL: "C" }],
	["C.UTF-8", { LANG: "C.UTF-8" }],
	["POSIX", { LC_COLLATE: "POSIX", LANG: "de_DE.UTF-8" }],
	["a locale that nobody knows", { LANG: "tlh_QX.UTF-8" }],
	["what is not a locale's name", { LANG: "../x" }],
	["an LC_ALL above the others", { LC_ALL: "C", LC_COLLATE: "de_DE", LANG: "de_DE" }],
] as const) {
	test(`${title} orders by bytes`, () => assert.equal(sorted(env), bytes));
}

test("a language orders letters before their case, and its own letters at their places", () => {
	assert.equal(sorted({ LANG: "de_DE.UTF-8@euro" }), "10 9 a A ä b B Z");
	assert.equal(sorted({ LC_ALL: "", LANG: "en_US.UTF-8" }), "10 9 a A ä b B Z");
	assert.equal(sorted({ LC_COLLATE: "sv_SE.utf8", LANG: "C" }), "10 9 a A b B Z ä");
});

test("bytes are those of UTF-8, not of UTF-16", () => {
	assert(collationOf({})("\u{ff5e}", "\u{1f600}") < 0);
});

test("only equal names are equal", () => {
	assert.notEqual(collationOf({ LANG: "en_US" })("a\u0000b", "ab"), 0);
	assert.equal(collationOf({ LANG: "en_US" })("ab", "ab"), 0);
});
