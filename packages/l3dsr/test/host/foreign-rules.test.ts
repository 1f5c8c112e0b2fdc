import assert from "node:assert/strict";
import { test } from "node:test";
import { Nftables, type TableContents } from "@l3dsr/nftables";
import { enterNetns, run } from "../../../../test/support/netns.ts";
import { findForeignRules } from "../../src/host/foreign-rules.ts";

enterNetns();

function found(): ReturnType<typeof findForeignRules> {
	using nftables = new Nftables();
	return findForeignRules(nftables.read(undefined, { elements: "verdicts" }).tables);
}

function listed(ruleset: string) {
	run("nft", "flush", "ruleset");
	run("nft", ruleset);
	return found();
}

const NOTHING = {
	dscpWriters: [],
	reversePathFilters: [],
	trackers: [],
	filters: [],
	redirects: [],
	moduleRules: [],
};

test("finds rules that write DSCP, with value and family, but not those that read it, nor our own", () => {
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

test("a chain's place is where its packets come from: jumps, also through other chains and verdict maps", () => {
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

test("targets of iptables are found, even in user-defined chains", () => {
	run("nft", "flush", "ruleset");
	run("iptables", "-t", "mangle", "-N", "QOS");
	run("iptables", "-t", "mangle", "-A", "PREROUTING", "-j", "QOS");
	run("iptables", "-t", "mangle", "-A", "QOS", "-p", "tcp", "-j", "DSCP", "--set-dscp", "5");
	assert.deepEqual(found(), {
		...NOTHING,
		dscpWriters: [
			{ place: "table ip mangle, chain QOS", hook: "prerouting", priority: -150, family: "ipv4" },
		],
	});
});

test("reverse path filters of firewalls are found; other matches on the sender are not", () => {
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
		{ place: "table inet fw, chain pre", hook: "prerouting", priority: -150, family: "ipv6", strict: true },
	]);
	run("nft", "flush", "ruleset");
	run("iptables", "-t", "raw", "-A", "PREROUTING", "-m", "rpfilter", "--invert", "-j", "DROP");
	assert.deepEqual(found(), {
		...NOTHING,
		reversePathFilters: [
			{
				place: "table ip raw, chain PREROUTING",
				hook: "prerouting",
				priority: -300,
				family: "ipv4",
				strict: true,
			},
		],
	});
	run("nft", "flush", "ruleset");
	run("iptables", "-t", "raw", "-A", "PREROUTING", "-m", "rpfilter", "--loose", "--invert", "-j", "DROP");
	assert.deepEqual(
		found().reversePathFilters.map(({ strict }) => strict),
		[false],
	);
});

test("rules that use connection tracking, that drop, and that redirect are found", () => {
	const { trackers, filters, redirects } = listed(`
		table inet fw {
			chain in { type filter hook input priority 0; policy drop; ct state established accept; }
			chain forwarded { type filter hook forward priority 0; policy drop; }
			chain out { type filter hook output priority 0; tcp dport 25 reject; }
			chain web { type nat hook prerouting priority -100; tcp dport 80 redirect to :8080; }
		}`);
	assert.deepEqual(trackers, [{ place: "table inet fw, chain in", hook: "input", priority: 0 }]);
	assert.deepEqual(filters, ["table inet fw, chain in", "table inet fw, chain out"]);
	assert.deepEqual(redirects, ["table inet fw, chain web"]);
});

test("rules of the old module are found, and nothing is found without rules", () => {
	const daddr = { kind: "target", name: "DADDR", revision: 0, info: new Uint8Array(4) } as const;
	const mangle: TableContents = {
		family: "ip",
		name: "mangle",
		flags: [],
		handle: 1n,
		chains: [
			{
				name: "PREROUTING",
				handle: 2n,
				base: { type: "filter", hook: "prerouting", priority: -150, policy: "accept" },
			},
		],
		rules: [
			{ chain: "PREROUTING", handle: 3n, expressions: [{ kind: "counter", packets: 0n, bytes: 0n }, daddr] },
		],
		sets: [],
		objects: [],
		flowtables: [],
	};
	assert.deepEqual(findForeignRules([mangle]).moduleRules, ["table ip mangle, chain PREROUTING"]);
	assert.deepEqual(findForeignRules([]), NOTHING);
});

test("a write is recognised as one of DSCP by the bits that it changes, whoever wrote it", () => {
	const { dscpWriters } = listed(`
		table netdev far { }
		table ip fw {
			chain c {
				type filter hook forward priority 1;
				ip ecn set 1
				ip ttl set 64
				@nh,8,8 set 0x48
				ip daddr set 192.0.2.1
			}
		}`);
	assert.deepEqual(dscpWriters, [
		{ place: "table ip fw, chain c", hook: "forward", priority: 1, family: "ipv4", value: 0x12 },
	]);
});
