/** Lists sockets that Node's own servers have opened. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { enterNetns } from "../../../test/support/netns.ts";
import { listIpv6OnlySockets } from "../src/index.ts";

enterNetns();

test("lists IPv6 sockets that do not accept IPv4, and no others", async () => {
	const servers = [
		createServer().listen({ host: "::", port: 81, ipv6Only: true }),
		createServer().listen({ host: "::", port: 82 }),
		createServer().listen({ host: "0.0.0.0", port: 83 }),
	];
	const [only, both] = [true, false].map((ipv6Only) => createSocket({ type: "udp6", ipv6Only }));
	assert.ok(only !== undefined && both !== undefined);
	try {
		only.bind(91, "::");
		both.bind(92, "::");
		await Promise.all([...servers, only, both].map((one) => once(one, "listening")));
		const ports = (protocol: "tcp" | "udp") => listIpv6OnlySockets(protocol).map(({ port }) => port);
		assert.deepEqual([ports("tcp"), ports("udp")], [[81], [91]]);
		assert.deepEqual(listIpv6OnlySockets("tcp")[0]?.address, new Uint8Array(16));
	} finally {
		for (const one of [...servers, only, both]) one.close();
	}
});
