/** Compares addresses and local routes with ip(8)'s in the same namespace. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { addressFromBytes } from "@l3dsr/packet";
import { ROOT } from "../../../../test/support/commands.ts";
import { enterNetns } from "../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../test/support/node.ts";
import {
	addAddress,
	deleteAddress,
	interfaceByName,
	listAddresses,
	replaceAddress,
} from "../../src/index.ts";

enterNetns();

function ip(...args: readonly string[]): string {
	return execFileSync("ip", args, { encoding: "utf8" });
}

interface Listed {
	readonly ifindex: number;
	readonly addr_info: readonly {
		readonly local: string;
		readonly prefixlen: number;
		readonly scope: string;
		readonly label?: string;
	}[];
}

test("a new namespace has no addresses and no local routes", () => {
	const script = `
		import { listAddresses, listLocalRoutes } from "./packages/linux/src/index.ts";
		process.stdout.write(JSON.stringify([listAddresses(), listLocalRoutes()]));`;
	const args = ["-n", process.execPath, ...FROM_SOURCE, "--input-type=module", "-e", script];
	assert.equal(execFileSync("unshare", args, { cwd: ROOT, encoding: "utf8" }), "[[],[]]");
});

test("lists the same as ip for both families, with labels, scopes and peers", () => {
	ip("link", "set", "lo", "up");
	ip("link", "add", "a0", "type", "veth", "peer", "name", "a1");
	for (const device of ["a0", "a1"]) ip("link", "set", device, "up");
	ip("address", "add", "192.0.2.1/32", "dev", "lo", "label", "lo:1");
	ip("address", "add", "198.51.100.1/24", "dev", "a0");
	ip("address", "add", "198.51.100.9/24", "dev", "a0");
	ip("address", "add", "203.0.113.1", "peer", "203.0.113.2", "dev", "a1", "scope", "link");
	ip("address", "add", "2001:db8::1/128", "dev", "lo", "nodad");
	ip("address", "add", "2001:db8:1::1/64", "dev", "a0", "nodad");
	ip("address", "add", "2001:db8:2::1", "peer", "2001:db8:2::2", "dev", "a1", "nodad");
	const listed: readonly Listed[] = JSON.parse(ip("-j", "address", "show"));
	const expected = listed.flatMap(({ ifindex, addr_info }) =>
		addr_info.map(({ local, prefixlen, scope, label }) =>
			[ifindex, local, prefixlen, scope, label ?? ""].join(" "),
		),
	);
	const found = listAddresses().map(({ index, bytes, prefixLength, scope, label = "" }) =>
		[index, addressFromBytes(bytes).text, prefixLength, scope, label].join(" "),
	);
	assert.ok(found.length >= 11, found.join("\n"));
	assert.deepEqual(found.sort(), expected.sort());
});

test("ip shows an added address with its label, scope and flags", () => {
	ip("link", "add", "name", "d0", "type", "bridge");
	const { index } = interfaceByName("d0");
	addAddress({ index, bytes: [192, 0, 2, 7], prefixLength: 32, label: "d0:7", scope: "link" });
	addAddress({ index, bytes: IPV6, prefixLength: 128, noDad: true, noPrefixRoute: true, preferredS: 0 });
	const shown = ip("-o", "address", "show", "dev", "d0");
	assert.match(shown, /inet 192\.0\.2\.7\/32 scope link d0:7/);
	assert.match(shown, /inet6 2001:db8:5::1\/128 scope global nodad deprecated noprefixroute/);
	assert.match(shown, /valid_lft forever preferred_lft 0sec/);
	const [four, six] = listAddresses().filter((one) => one.index === index);
	assert.equal(four?.scope, "link");
	assert.equal(four?.deprecated, false);
	assert.equal(four?.preferredS, Number.POSITIVE_INFINITY);
	assert.deepEqual([six?.deprecated, six?.noPrefixRoute, six?.preferredS], [true, true, 0]);
	assert.throws(() => addAddress({ index, bytes: [192, 0, 2, 7], prefixLength: 32 }), {
		code: "SYSCALL",
		message: /^add 192\.0\.2\.7\/32 on interface \d+: EEXIST/,
	});
});

test("replacing an address changes its lifetime and keeps its place", () => {
	const { index } = interfaceByName("d0");
	const held = () => listAddresses().filter((one) => one.index === index && one.bytes.length === 16);
	const before = held().map(({ bytes }) => addressFromBytes(bytes).text);
	replaceAddress({ index, bytes: IPV6, prefixLength: 128, noDad: true, noPrefixRoute: true });
	const changed = held().find(({ bytes }) => addressFromBytes(bytes).text === "2001:db8:5::1");
	assert.deepEqual([changed?.deprecated, changed?.preferredS], [false, Number.POSITIVE_INFINITY]);
	assert.deepEqual(
		held().map(({ bytes }) => addressFromBytes(bytes).text),
		before,
	);
});

test("deletes the address with the given prefix length and no other", () => {
	const { index } = interfaceByName("d0");
	ip("address", "add", "192.0.2.7/31", "dev", "d0");
	deleteAddress({ index, bytes: [192, 0, 2, 7], prefixLength: 32 });
	deleteAddress({ index, bytes: IPV6, prefixLength: 128 });
	const left = listAddresses().filter((one) => one.index === index);
	assert.deepEqual(
		left.map(({ bytes, prefixLength }) => `${addressFromBytes(bytes).text}/${prefixLength}`),
		["192.0.2.7/31"],
	);
	assert.throws(() => deleteAddress({ index, bytes: IPV6, prefixLength: 128 }), {
		message: /^delete 2001:db8:5::1\/128 from interface \d+: EADDRNOTAVAIL/,
	});
});

const IPV6 = [0x20, 0x01, 0x0d, 0xb8, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
