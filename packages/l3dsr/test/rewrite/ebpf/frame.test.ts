import assert from "node:assert/strict";
import { test } from "node:test";
import { testRun } from "@l3dsr/bpf";
import { ethernet, ipv4, ipv6, tcp } from "../../packets/build.ts";
import { daddrRule } from "../../packets/rules.ts";
import { LoadedRules, OWN_MAC, TC } from "./run.ts";

const rules = [daddrRule("72.30.38.140", { dscp: 1 }), daddrRule("fc00:1000:0:6::10", { dscp: 1 })];

for (const [family, packet] of [
	["IPv4", ipv4({ dscp: 1 }, tcp())],
	["IPv6", ipv6({ dscp: 1 }, tcp())],
] as const) {
	test(`an ${family} frame for another host's MAC address, as a bridge port sees them, is not changed`, () => {
		using loaded = new LoadedRules(rules, { local: [] }, TC);
		const other = ethernet({ destination: "02:00:00:00:00:77" }, packet);
		assert.deepEqual(testRun(loaded.program, { data: other }).data, other);
		const own = ethernet({ destination: OWN_MAC }, packet);
		assert.notDeepEqual(testRun(loaded.program, { data: own }).data, own);
		assert.equal(
			loaded.counted().rules.reduce((sum, { packets }) => sum + packets, 0n),
			1n,
		);
	});
}
