import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { enterNetns, ip, Netns, waitFor } from "./netns.ts";

enterNetns();

test("a file in a namespace sees only the loopback interface, in /sys too", () => {
	assert.deepEqual(readdirSync("/sys/class/net"), ["lo"]);
	assert.match(ip("-o link show"), /^1: lo: <LOOPBACK,UP,LOWER_UP>.*\n$/);
	assert.deepEqual(readdirSync("/run/netns"), []);
});

test("a peer namespace has its own links, and disposal deletes it with its processes", async () => {
	{
		using peer = new Netns("peer");
		ip(`link add v0 type veth peer name v1 netns ${peer.name}`);
		peer.ip("address add 192.0.2.2/24 dev v1");
		peer.ip("link set v1 up");
		assert.match(peer.run("ip", "-o", "-4", "address"), /192\.0\.2\.2\/24/);
		const sleeper = peer.spawn("sleep", "1000");
		await waitFor("sleep", () => readFileSync(`/proc/${sleeper.pid}/cmdline`, "utf8").includes("sleep"));
	}
	assert.deepEqual(readdirSync("/run/netns"), []);
	await waitFor("end of v0 with its peer", () => !readdirSync("/sys/class/net").includes("v0"));
});
