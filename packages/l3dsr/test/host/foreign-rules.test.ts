import assert from "node:assert/strict";
import { test } from "node:test";
import { enterNetns, run } from "../../../../test/support/netns.ts";
import { decodeForeignRules } from "../../src/host/foreign-rules.ts";

enterNetns();

function listed(ruleset: string) {
	run("nft", "flush", "ruleset");
	run("nft", ruleset);
	return decodeForeignRules(run("nft", "-n", "-j", "list", "ruleset"));
}

const NOTHING = { dscpWriters: [], reversePathFilters: [], moduleRules: [] };

test("who writes DSCP, what it writes, and for which family; who only reads it, and our own rules, do not", () => {
	const { dscpWriters } = listed(`
		table inet qos {
			chain out { type filter hook postrouting priority 5; ip dscp set 46; ip6 dscp set 7; ip dscp 46 accept; }
		}
		table ip l3dsr { chain c { type filter hook prerouting priority -300; ip dscp set 0; }; }`);
	const place = "table inet qos, chain out";
	assert.deepEqual(dscpWriters, [
		{ place, hook: "postrouting", priority: 5, family: "ipv4", value: 46 },
		{ place, hook: "postrouting", priority: 5, family: "ipv6", value: 7 },
	]);
});

test("a chain is where packets come to it from: jumps, also by way of others and of verdict maps", () => {
	const { dscpWriters } = listed(`
		table inet fw {
			chain voice { ip dscp set 3; }
			chain unused { ip dscp set 4; }
			chain way { goto voice; }
			chain pre { type filter hook prerouting priority -200; jump way; }
			chain post { type filter hook postrouting priority 0; oifname vmap { "eth0" : jump voice }; }
		}`);
	const place = "table inet fw, chain voice";
	assert.deepEqual(
		dscpWriters.toSorted((a, b) => a.priority - b.priority),
		[
			{ place, hook: "prerouting", priority: -200, family: "ipv4", value: 3 },
			{ place, hook: "postrouting", priority: 0, family: "ipv4", value: 3 },
		],
	);
});

test("targets of iptables are seen, in chains of one's own too", () => {
	run("nft", "flush", "ruleset");
	run("iptables", "-t", "mangle", "-N", "QOS");
	run("iptables", "-t", "mangle", "-A", "PREROUTING", "-j", "QOS");
	run("iptables", "-t", "mangle", "-A", "QOS", "-p", "tcp", "-j", "DSCP", "--set-dscp", "5");
	assert.deepEqual(decodeForeignRules(run("nft", "-n", "-j", "list", "ruleset")), {
		...NOTHING,
		dscpWriters: [
			{ place: "table ip mangle, chain QOS", hook: "prerouting", priority: -150, family: "ipv4" },
		],
	});
});

test("reverse-path filters of firewalls are seen; questions about the sender of another kind are none", () => {
	const { reversePathFilters } = listed(`
		table inet fw {
			chain pre {
				type filter hook prerouting priority -150;
				meta nfproto ipv6 fib saddr . mark . iif oif missing drop
				fib saddr type local drop
				fib saddr . iif oif missing counter
			}
		}`);
	assert.deepEqual(reversePathFilters, [
		{ place: "table inet fw, chain pre", hook: "prerouting", priority: -150, family: "ipv6" },
	]);
	run("nft", "flush", "ruleset");
	run("iptables", "-t", "raw", "-A", "PREROUTING", "-m", "rpfilter", "--invert", "-j", "DROP");
	assert.deepEqual(decodeForeignRules(run("nft", "-n", "-j", "list", "ruleset")), {
		...NOTHING,
		reversePathFilters: [
			{ place: "table ip raw, chain PREROUTING", hook: "prerouting", priority: -300, family: "ipv4" },
		],
	});
});

test("rules of the old module are seen where nft lists them", () => {
	const listing = {
		nftables: [
			{ metainfo: {} },
			{ chain: { family: "ip", table: "mangle", name: "PREROUTING", hook: "prerouting", prio: -150 } },
			{
				rule: {
					family: "ip",
					table: "mangle",
					chain: "PREROUTING",
					expr: [{ counter: null }, { xt: { type: "target", name: "DADDR" } }],
				},
			},
		],
	};
	assert.deepEqual(decodeForeignRules(JSON.stringify(listing)).moduleRules, [
		"table ip mangle, chain PREROUTING",
	]);
	assert.deepEqual(decodeForeignRules(""), NOTHING);
});
