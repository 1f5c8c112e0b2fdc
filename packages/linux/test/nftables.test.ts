import assert from "node:assert/strict";
import { test } from "node:test";
import { enterNetns, run } from "../../../test/support/netns.ts";
import { nftTableExists } from "../src/nftables.ts";

enterNetns();

test("a table is there from when nft adds it until nft deletes it, in its own family only", () => {
	assert.equal(nftTableExists("ip", "some"), false);
	run("nft", "add", "table", "ip", "some");
	assert.equal(nftTableExists("ip", "some"), true);
	assert.equal(nftTableExists("ip6", "some"), false);
	assert.equal(nftTableExists("ip", "som"), false);
	run("nft", "delete", "table", "ip", "some");
	assert.equal(nftTableExists("ip", "some"), false);
});
