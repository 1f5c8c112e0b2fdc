/** A table copied into another network namespace is the same table, whatever is in it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns, run } from "../../../test/support/netns.ts";
import { NetworkNamespace } from "../src/network-namespace.ts";
import { makeNftTable, readNftTable, sameNftTable } from "../src/nftables-table.ts";

enterNetns();
failOnLeaks();

const RULES = `
add table ip l3dsr
add map ip l3dsr m { typeof @nh,8,8 : ip daddr; size 64; counter; }
add element ip l3dsr m { 0x1c counter packets 7 bytes 420 comment "seven" : 192.0.2.10, 0x20 counter packets 1 bytes 60 : 192.0.2.11 }
add chain ip l3dsr side
add chain ip l3dsr raw_PREROUTING { type filter hook prerouting priority -300; policy accept; }
add rule ip l3dsr side tcp dport { 80, 443, 8000-8080 } counter packets 5 bytes 300 return comment "ports"
add rule ip l3dsr side tcp dport != { 22 } meta l4proto { 6, 17 } fib daddr type local accept
add rule ip l3dsr raw_PREROUTING ip hdrlength != 5 jump side
add rule ip l3dsr raw_PREROUTING iifname "eth0" ip dscp 3 counter ip daddr set 192.0.2.12
add rule ip l3dsr raw_PREROUTING ip daddr set @nh,8,8 & 0xfc map @m
`;

function load(script: string): void {
	run("sh", "-c", `nft -f - <<'END'\n${script}\nEND`);
}

function table() {
	const image = readNftTable("ip", "l3dsr");
	assert.ok(image !== undefined);
	return image;
}

describe("a table of nftables", () => {
	it("is the same in another network namespace, with its counters at zero", () => {
		load(RULES);
		const original = table();
		using elsewhere = NetworkNamespace.create();
		elsewhere.within(() => {
			assert.equal(readNftTable("ip", "l3dsr"), undefined);
			makeNftTable(original);
			assert.ok(sameNftTable(table(), original));
		});
		const there = run("nsenter", `--net=${elsewhere.path}`, "nft", "list", "table", "ip", "l3dsr");
		const here = run("nft", "list", "table", "ip", "l3dsr");
		assert.match(here, /counter packets 5 bytes 300/);
		const zeroed = here.replaceAll(/packets \d+ bytes \d+/g, "packets 0 bytes 0");
		const sorted = (text: string) =>
			text
				.split("\n")
				.map((line) => line.trim().replace(/^elements = \{ |[,}]| \}$/g, ""))
				.sort();
		assert.deepEqual(sorted(there), sorted(zeroed));
	});

	it("is another one when a rule, an element or the order of rules is another", () => {
		const original = table();
		for (const change of [
			"add element ip l3dsr m { 0x24 : 192.0.2.13 }",
			"add rule ip l3dsr side counter",
			`delete table ip l3dsr\n${RULES.replace(/(.*hdrlength.*\n)(.*\n)/, "$2$1")}`,
			`delete table ip l3dsr\n${RULES.replace("priority -300", "priority -299")}`,
		]) {
			load(change);
			assert.ok(!sameNftTable(table(), original), change);
			load(`delete table ip l3dsr\n${RULES}`);
			assert.ok(sameNftTable(table(), original));
		}
	});

	it("is refused as a whole when a part of it cannot be made, and when it holds what is not copied", () => {
		const image = table();
		const broken = {
			...image,
			parts: [...image.parts, ...image.parts.slice(1, 2).map((part) => ({ ...part, type: 0x0aff }))],
		};
		using elsewhere = NetworkNamespace.create();
		elsewhere.within(() => {
			assert.throws(() => makeNftTable(broken), { code: "SYSCALL" });
			assert.equal(readNftTable("ip", "l3dsr"), undefined);
		});
		load("add counter ip l3dsr named");
		assert.throws(() => readNftTable("ip", "l3dsr"), /has objects that l3dsr does not make/);
		load("delete table ip l3dsr");
		assert.equal(readNftTable("ip", "l3dsr"), undefined);
	});
});
