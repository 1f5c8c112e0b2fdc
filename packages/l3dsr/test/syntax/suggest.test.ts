import assert from "node:assert/strict";
import { test } from "node:test";
import { didYouMean, editDistance, nearest } from "../../src/syntax/suggest.ts";

test("the distance counts letters added, removed, changed and swapped", () => {
	assert.equal(editDistance("daddr", "daddr"), 0);
	assert.equal(editDistance("dadr", "daddr"), 1);
	assert.equal(editDistance("dcsp", "dscp"), 1);
	assert.equal(editDistance("", "dscp"), 4);
	assert.equal(editDistance("kitten", "sitting"), 3);
});

test("a word is suggested if it is similar, and none if nothing is similar", () => {
	assert.equal(nearest("--set-dadr", ["--set-dport", "--set-daddr"]), "--set-daddr");
	assert.equal(nearest("PREROUTNIG", ["OUTPUT", "PREROUTING"]), "PREROUTING");
	assert.equal(nearest("prerouting", ["PREROUTING"]), "PREROUTING");
	assert.equal(nearest("banana", ["PREROUTING", "OUTPUT"]), undefined);
	assert.equal(didYouMean("mangel", ["raw", "mangle"]), "did you mean mangle?");
});
