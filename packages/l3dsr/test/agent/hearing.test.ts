import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { enterNetns, ip } from "../../../../test/support/netns.ts";
import type { Heard } from "../../src/agent/hearing/heard.ts";
import { hearNetwork } from "../../src/agent/hearing/network.ts";

enterNetns();

/** More changes of interfaces than the kernel holds for a reader that does not read. */
const CHANGES = 6000;

test("after lost events, an interface with the index of one that was deleted meanwhile is a new one", () => {
	ip("link add d0 index 77 type veth peer name d1");
	const heard: Heard[] = [];
	using ear = hearNetwork((one) => heard.push(one), { nextHops: false });
	const changes = Array.from({ length: CHANGES }, (_, n) => `link set lo mtu ${1400 + (n % 100)}\n`);
	execFileSync("ip", ["-batch", "-"], { input: `${changes.join("")}link delete d0\n` });
	ear.read();
	assert.ok(heard.some(({ trigger }) => trigger === "lost"));
	heard.length = 0;
	ip("link add e0 index 77 type veth peer name d1");
	ear.read();
	assert.deepEqual(
		heard.flatMap(({ link }) => link ?? []),
		["interface d1 was created", "interface e0 was created"],
	);
});
