import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { enterNetns, ip } from "../../../../test/support/netns.ts";
import type { HostEvent } from "../../src/agent/events/event.ts";
import { monitorNetwork } from "../../src/agent/events/network.ts";

enterNetns();

/** More changes of interfaces than the kernel holds for a reader that does not read. */
const CHANGES = 6000;

test("after lost events, an interface with the index of one that was deleted meanwhile is a new one", () => {
	ip("link add d0 index 77 type veth peer name d1");
	const events: HostEvent[] = [];
	using reader = monitorNetwork((one) => events.push(one), { nextHops: false });
	const changes = Array.from({ length: CHANGES }, (_, n) => `link set lo mtu ${1400 + (n % 100)}\n`);
	execFileSync("ip", ["-batch", "-"], { input: `${changes.join("")}link delete d0\n` });
	reader.read();
	assert.ok(events.some(({ trigger }) => trigger === "lost"));
	events.length = 0;
	ip("link add e0 index 77 type veth peer name d1");
	reader.read();
	assert.deepEqual(
		events.flatMap(({ link }) => link?.text ?? []),
		["interface d1 was created", "interface e0 was created"],
	);
});
