import assert from "node:assert/strict";
import { test } from "node:test";
import { enterNetns, ip, run } from "../../../test/support/netns.ts";
import { offloadsOf } from "../src/offload.ts";

enterNetns();

test("reads the offloads that ethtool shows and sets", () => {
	ip("link add eth0 type veth peer name eth1");
	for (const on of [false, true, false]) {
		run("ethtool", "-K", "eth0", "rxvlan", on ? "on" : "off");
		assert.deepEqual(offloadsOf("eth0"), { takesVlanTags: on, mergesPackets: false });
		assert.match(run("ethtool", "-k", "eth0"), new RegExp(`^rx-vlan-offload: ${on ? "on" : "off"}`, "m"));
	}
	assert.throws(() => offloadsOf("none0"), /read the offloads of none0: ENODEV/);
});
