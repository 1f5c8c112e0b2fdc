/** The effect of iptables-legacy rules on the packets of services, as check sees it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { listLegacyTables, readLegacyTable } from "@l3dsr/linux";
import { enterNetns } from "../../../../test/support/netns.ts";
import { findForeignRules } from "../../src/host/foreign-rules.ts";
import { tableOfLegacy } from "../../src/host/legacy-rules.ts";

enterNetns();

test("rules of iptables-legacy are judged like those of iptables-nft", () => {
	const input = `*raw
-A PREROUTING -m rpfilter --invert -j DROP
COMMIT
*mangle
:classes - [0:0]
-A PREROUTING -p tcp -j classes
-A classes -j DSCP --set-dscp 9
COMMIT
*nat
-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080
COMMIT
*filter
:INPUT DROP [0:0]
-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A FORWARD -j DROP
COMMIT
`;
	execFileSync("iptables-legacy-restore", { input });
	const tables = listLegacyTables("ipv4").map((name) => tableOfLegacy(readLegacyTable("ipv4", name)));
	const at = (table: string, chain: string): string => `table ip ${table} of iptables-legacy, chain ${chain}`;
	assert.deepEqual(findForeignRules(tables), {
		dscpWriters: [{ place: at("mangle", "classes"), hook: "prerouting", priority: -150, family: "ipv4" }],
		reversePathFilters: [
			{ place: at("raw", "PREROUTING"), hook: "prerouting", priority: -300, family: "ipv4", strict: true },
		],
		trackers: [{ place: at("filter", "INPUT"), hook: "input", priority: 0, family: "ipv4" }],
		filters: [at("filter", "INPUT")],
		redirects: [at("nat", "PREROUTING")],
		moduleRules: [],
	});
});
