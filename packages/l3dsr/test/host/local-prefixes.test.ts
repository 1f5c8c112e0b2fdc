import assert from "node:assert/strict";
import { test } from "node:test";
import { enterNetns, ip, Netns, waitFor } from "../../../../test/support/netns.ts";
import { localPrefixes } from "../../src/host/local-prefixes.ts";

enterNetns();

function texts(): string[] {
	return localPrefixes()
		.map(({ address, length }) => `${address.text}/${length}`)
		.sort();
}

test("an address under duplicate address detection already counts, and its end changes nothing", async () => {
	using peer = new Netns("peer");
	ip(`link add eth0 type veth peer name eth0 netns ${peer.name}`);
	ip("link set eth0 up");
	peer.ip("link set eth0 up");
	ip("addr add 10.0.0.2/24 dev eth0");
	ip("addr add fd00::2/64 dev eth0");
	const routed = () => ip("-6 route show table local type local").includes("fd00::2");
	assert(!routed(), "its route is not there yet");
	const early = texts();
	assert.deepEqual(
		early.filter((text) => !text.startsWith("fe80:")),
		["10.0.0.2/32", "127.0.0.0/8", "127.0.0.1/32", "::1/128", "fd00::2/128"],
	);
	await waitFor("the route", routed, 10_000);
	const late = texts();
	assert.deepEqual(
		late.filter((text) => !text.startsWith("fe80:")),
		early.filter((text) => !text.startsWith("fe80:")),
	);

	// An address that another host has does not count.
	peer.ip("addr add fd00::3/64 dev eth0 nodad");
	ip("addr add fd00::3/64 dev eth0");
	await waitFor("a duplicate", () => ip("-6 addr show dev eth0").includes("dadfailed"), 10_000);
	assert(!texts().includes("fd00::3/128"));
	ip("addr del fd00::2/64 dev eth0");
	assert(!texts().includes("fd00::2/128"));
});
