/** Compares routes, rules and neighbours with ip(8)'s in the same namespace. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { addressFromBytes, parseAddress } from "@l3dsr/packet";
import { enterNetns, ip } from "../../../../test/support/netns.ts";
import {
	addRoute,
	addRouteRule,
	deleteNeighbour,
	deleteRoute,
	deleteRouteRule,
	ERRNO,
	type IfIndex,
	interfaceByName,
	listLocalRoutes,
	listNeighbours,
	listRouteRules,
	listRoutes,
	lookUpRoute,
	ROUTE_TABLE,
	replaceNeighbour,
	replaceRoute,
	SyscallError,
} from "../../src/index.ts";

enterNetns();

ip("link add a0 type veth peer name a1");
ip("link add b0 type veth peer name b1");
for (const device of ["a0", "a1", "b0", "b1"]) ip(`link set ${device} up`);
ip("address add 198.51.100.1/24 dev a0");
ip("address add 203.0.113.1/24 dev b0");
ip("address add 2001:db8:1::1/64 dev a0 nodad");

function bytes(text: string): readonly number[] {
	return parseAddress(text)?.bytes ?? assert.fail(text);
}

function prefix(text: string): { bytes: readonly number[]; length: number } {
	const [address = "", length] = text.split("/");
	return { bytes: bytes(address), length: Number(length) };
}

const index = (name: string): IfIndex => interfaceByName(name).index;
const text = (address: Uint8Array | undefined): string | undefined =>
	address === undefined ? undefined : addressFromBytes(address).text;

test("lists the same local routes as ip", () => {
	ip("route add local 192.0.2.64/26 dev lo");
	ip("-6 route add local 2001:db8:64::/64 dev lo");
	const expected = ["-4", "-6"].flatMap((family) =>
		JSON.parse(ip(`-j ${family} route show table local type local`)).map(
			({ dst }: { readonly dst: string }) => dst,
		),
	);
	const found = listLocalRoutes().map(({ bytes, length }) => {
		const address = addressFromBytes(bytes).text;
		return length === bytes.length * 8 ? address : `${address}/${length}`;
	});
	assert.ok(found.includes("192.0.2.64/26") && found.includes("2001:db8:64::/64"), found.join(" "));
	assert.deepEqual(found.sort(), expected.sort());
});

test("adds, lists, replaces and deletes a route of each family, as ip shows it", () => {
	addRoute({ destination: prefix("0.0.0.0/0"), nextHops: [{ gateway: bytes("198.51.100.254") }] });
	addRoute({ destination: prefix("2001:db8:9::/48"), nextHops: [{ index: index("a0") }], metric: 7 });
	assert.match(ip("route show default"), /^default via 198\.51\.100\.254 dev a0 proto static/);
	assert.match(ip("-6 route show 2001:db8:9::/48"), /^2001:db8:9::\/48 dev a0 proto static metric 7/);
	const [fallback] = listRoutes({ family: "ipv4", table: ROUTE_TABLE.main }).filter(
		({ destination }) => destination.length === 0,
	);
	assert.deepEqual(
		[fallback?.type, fallback?.scope, fallback?.protocol, fallback?.nextHops[0]?.index],
		["unicast", "global", "static", index("a0")],
	);
	assert.equal(text(fallback?.nextHops[0]?.gateway), "198.51.100.254");
	replaceRoute({
		destination: prefix("0.0.0.0/0"),
		source: bytes("203.0.113.1"),
		mtu: 1400,
		nextHops: [{ gateway: bytes("198.51.100.253"), index: index("a0") }],
	});
	assert.match(ip("route show default"), /via 198\.51\.100\.253 dev a0 .*src 203\.0\.113\.1 mtu 1400/);
	assert.throws(() => addRoute({ destination: prefix("0.0.0.0/0"), nextHops: [{ index: index("b0") }] }), {
		message: /^add the route to 0\.0\.0\.0\/0: EEXIST/,
	});
	deleteRoute({ destination: prefix("2001:db8:9::/48") });
	assert.equal(ip("-6 route show 2001:db8:9::/48"), "");
});

test("reads several next hops with their weights, and a gateway of the other family", () => {
	addRoute({
		destination: prefix("192.0.2.0/28"),
		nextHops: [
			{ gateway: bytes("198.51.100.2"), weight: 3 },
			{ gateway: bytes("203.0.113.2"), index: index("b0") },
		],
	});
	addRoute({
		destination: prefix("192.0.2.16/28"),
		nextHops: [{ gateway: bytes("2001:db8:1::2"), index: index("a0") }],
	});
	const routes = listRoutes({ family: "ipv4", table: ROUTE_TABLE.main });
	const hops = (destination: string) =>
		routes
			.find((route) => text(route.destination.bytes) === destination)
			?.nextHops.map((hop) => [hop.index, text(hop.gateway), hop.weight]);
	assert.deepEqual(hops("192.0.2.0"), [
		[index("a0"), "198.51.100.2", 3],
		[index("b0"), "203.0.113.2", 1],
	]);
	assert.deepEqual(hops("192.0.2.16"), [[index("a0"), "2001:db8:1::2", 1]]);
});

test("looks up the route of a packet: next hop, source, and whether it is delivered here", () => {
	const out = lookUpRoute({ destination: bytes("203.0.113.77") });
	assert.deepEqual([out.nextHops[0]?.index, text(out.source)], [index("b0"), "203.0.113.1"]);
	const here = lookUpRoute({
		destination: bytes("198.51.100.1"),
		source: bytes("198.51.100.9"),
		inputIndex: index("a0"),
	});
	assert.equal(here.type, "local");
	const six = lookUpRoute({ destination: bytes("2001:db8:1::9"), source: bytes("2001:db8:1::1") });
	assert.equal(six.nextHops[0]?.index, index("a0"));
});

test("reports a lookup that reverse path filtering refuses, and one without a route", () => {
	ip("route add blackhole 192.0.2.240/28");
	const arriving = {
		destination: bytes("198.51.100.1"),
		source: bytes("203.0.113.9"),
		inputIndex: index("a0"),
	};
	assert.equal(lookUpRoute(arriving).type, "local");
	const set = (value: number) => {
		const path = "/proc/sys/net/ipv4/conf/a0/rp_filter";
		writeFileSync(path, String(value));
	};
	set(1);
	assert.throws(
		() => lookUpRoute(arriving),
		(error) =>
			error instanceof SyscallError && [ERRNO.EXDEV, ERRNO.EINVAL].some((one) => one === error.errno),
	);
	set(0);
	assert.throws(() => lookUpRoute({ destination: bytes("192.0.2.241") }), { errno: ERRNO.EINVAL });
	assert.throws(() => lookUpRoute({ destination: bytes("2001:db8:ffff::1") }), {
		message: /^look up the route to 2001:db8:ffff::1: ENETUNREACH/,
	});
});

test("a rule with source and mark selects the table, until it is deleted", () => {
	const rule = {
		family: "ipv4",
		priority: 100,
		table: 1000,
		source: prefix("198.51.100.1/32"),
		mark: { value: 1, mask: 0xff },
	} as const;
	addRouteRule(rule);
	addRoute({ destination: prefix("0.0.0.0/0"), table: 1000, nextHops: [{ gateway: bytes("203.0.113.9") }] });
	assert.match(ip("rule show"), /100:\tfrom 198\.51\.100\.1 fwmark 0x1\/0xff lookup 1000/);
	const found = listRouteRules().find(({ priority }) => priority === 100);
	assert.deepEqual([found?.action, found?.table, found?.mark], ["table", 1000, { value: 1, mask: 0xff }]);
	assert.equal(text(found?.source?.bytes), "198.51.100.1");
	const marked = { destination: bytes("9.9.9.9"), source: bytes("198.51.100.1"), mark: 1 };
	assert.equal(text(lookUpRoute(marked).nextHops[0]?.gateway), "203.0.113.9");
	deleteRouteRule(rule);
	assert.deepEqual(
		listRouteRules().map(({ family, priority }) => `${family} ${priority}`),
		["ipv4 0", "ipv4 32766", "ipv4 32767", "ipv6 0", "ipv6 32766"],
	);
});

test("sets, lists and deletes a neighbour", () => {
	const linkAddress = [2, 0, 0, 0, 0, 9];
	replaceNeighbour({ index: index("a0"), bytes: bytes("198.51.100.9"), linkAddress });
	assert.match(ip("neighbour show dev a0 198.51.100.9"), /lladdr 02:00:00:00:00:09 PERMANENT/);
	const found = listNeighbours(index("a0")).find(({ bytes }) => text(bytes) === "198.51.100.9");
	assert.deepEqual([found?.state, [...(found?.linkAddress ?? [])]], ["permanent", linkAddress]);
	deleteNeighbour({ index: index("a0"), bytes: bytes("198.51.100.9") });
	const left = listNeighbours(index("a0")).filter(({ state }) => state === "permanent");
	assert.deepEqual(left, []);
});
