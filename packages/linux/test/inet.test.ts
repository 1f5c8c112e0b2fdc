/** Addresses and local routes beside what ip(8) says of the same namespace. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { addressFromBytes } from "@l3dsr/packet";
import { ROOT } from "../../../test/support/commands.ts";
import { enterNetns } from "../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../test/support/node.ts";
import { listAddresses, listLocalRoutes } from "../src/inet.ts";

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

test("a namespace that nothing has been put into has no addresses and no local routes", () => {
	const script = `
		import { listAddresses, listLocalRoutes } from "./packages/linux/src/inet.ts";
		process.stdout.write(JSON.stringify([listAddresses(), listLocalRoutes()]));`;
	const args = ["-n", process.execPath, ...FROM_SOURCE, "--input-type=module", "-e", script];
	assert.equal(execFileSync("unshare", args, { cwd: ROOT, encoding: "utf8" }), "[[],[]]");
});

test("lists what ip lists, of both families, with labels, scopes and peers", () => {
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

test("lists the routes to this host that ip lists", () => {
	ip("route", "add", "local", "192.0.2.64/26", "dev", "lo");
	ip("-6", "route", "add", "local", "2001:db8:64::/64", "dev", "lo");
	ip("route", "add", "198.18.0.0/15", "dev", "a0");
	const expected = ["-4", "-6"].flatMap((family) =>
		JSON.parse(ip("-j", family, "route", "show", "table", "local", "type", "local")).map(
			({ dst }: { readonly dst: string }) => dst,
		),
	);
	const found = listLocalRoutes().map(({ bytes, length }) => {
		const { text } = addressFromBytes(bytes);
		return length === bytes.length * 8 ? text : `${text}/${length}`;
	});
	assert.ok(found.includes("192.0.2.64/26") && found.includes("2001:db8:64::/64"), found.join(" "));
	assert.deepEqual(found.sort(), expected.sort());
});
