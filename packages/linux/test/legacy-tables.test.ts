/** Reads back rules that iptables-legacy has created. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { enterNetns } from "../../../test/support/netns.ts";
import { decodeLegacyTable, LinuxError, listLegacyTables, readLegacyTable } from "../src/index.ts";

enterNetns();

function restore(family: "ipv4" | "ipv6", input: string): void {
	execFileSync(family === "ipv4" ? "iptables-legacy-restore" : "ip6tables-legacy-restore", { input });
}

for (const family of ["ipv4", "ipv6"] as const) {
	test(`reads chains, matches and targets of ${family} that iptables-legacy has created`, () => {
		assert.deepEqual(listLegacyTables(family), [], "to list tables makes none");
		restore(
			family,
			`*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:own - [0:0]
:other - [0:0]
-A INPUT -p tcp -m conntrack --ctstate INVALID -m dscp --dscp 3 -j DROP
-A INPUT -j own
-A INPUT -p udp
-A own -j ACCEPT
-A own -g other
-A own -j RETURN
-A other -j REJECT
COMMIT
*mangle
-A PREROUTING -j DSCP --set-dscp 9
COMMIT
`,
		);
		assert.deepEqual([...listLegacyTables(family)].sort(), ["filter", "mangle"]);
		const filter = readLegacyTable(family, "filter");
		assert.deepEqual(filter.chains, [
			{ name: "INPUT", base: { hook: "input", policy: "drop" } },
			{ name: "FORWARD", base: { hook: "forward", policy: "accept" } },
			{ name: "OUTPUT", base: { hook: "output", policy: "accept" } },
			{ name: "other" },
			{ name: "own" },
		]);
		const short = filter.rules.map(({ chain, matches, target }) => [
			chain,
			matches.map(({ name }) => name).join(),
			target.kind === "extension" ? target.extension.name : Object.values(target).join(" "),
		]);
		assert.deepEqual(short, [
			["INPUT", "conntrack,dscp", "verdict drop"],
			["INPUT", "", "jump own"],
			["INPUT", "", "none"],
			["other", "", "REJECT"],
			["own", "", "verdict accept"],
			["own", "", "jump other"],
			["own", "", "verdict return"],
		]);
		assert.equal(filter.rules[0]?.matches[1]?.info[0], 3, "the match's own structure");
		const [mangle] = readLegacyTable(family, "mangle").rules;
		assert.deepEqual([mangle?.chain, mangle?.target.kind], ["PREROUTING", "extension"]);
		assert.equal(mangle?.target.kind === "extension" && mangle.target.extension.info[0], 9);
	});
}

test("names a missing table in the error", () => {
	assert.throws(
		() => readLegacyTable("ipv4", "nowhere"),
		/^SyscallError: read table nowhere of iptables-legacy \(ipv4\): ENOENT/,
	);
});

test("decodes any bytes to a table or an error of this package", () => {
	fc.assert(
		fc.property(
			fc.constantFrom("ipv4" as const, "ipv6" as const),
			fc.uint8Array({ minLength: 84, maxLength: 84 }),
			fc.uint8Array({ maxLength: 600 }),
			(family, info, entries) => {
				try {
					decodeLegacyTable(family, info, entries);
				} catch (error) {
					assert.ok(error instanceof LinuxError, String(error));
				}
			},
		),
	);
});
