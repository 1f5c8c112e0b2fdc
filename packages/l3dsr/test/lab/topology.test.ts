import assert from "node:assert/strict";
import { mkdirSync, rmdirSync } from "node:fs";
import { describe, it } from "node:test";
import { listNamedNamespaces } from "@l3dsr/linux";
import { enterNetns } from "../../../../test/support/netns.ts";
import { L3dsrError } from "../../src/errors.ts";
import { addressOf, FAMILIES, HOSTS, REAL_SERVERS, VIPS } from "../../src/lab/layout.ts";
import { buildTopology, destroyTopology, inHost } from "../../src/lab/topology.ts";

enterNetns();

const environment = process.env;

describe("buildTopology", () => {
	it("connects five hosts over IPv4 and IPv6 from the first packet on, without a common subnet", async () => {
		const topology = buildTopology("l3topology");
		try {
			for (const family of FAMILIES) {
				for (const server of REAL_SERVERS) {
					const address = addressOf(server, family).text;
					// One echo, one second: if the first packet is lost to address resolution, this fails.
					const output = await inHost(topology, "client", {
						command: ["ping", "-n", "-c1", "-W1", address],
						environment,
					});
					// One router on the way.
					assert.match(output, new RegExp(`bytes from ${address}: icmp_seq=1 ttl=63 `));
				}
			}
			for (const { vip } of VIPS) {
				const route = await inHost(topology, "router", {
					command: ["ip", "route", "get", vip.text],
					environment,
				});
				assert.match(route, / via (10\.0\.[24]\.2|2001:db8:[24]::2) dev director2?-in /);
			}
		} finally {
			destroyTopology(topology.name);
		}
		assert.deepEqual(listNamedNamespaces(), []);
	});

	it("refuses a name that is taken, and does not change its owner", () => {
		buildTopology("l3topology");
		try {
			assert.throws(
				() => buildTopology("l3topology"),
				(error) => {
					assert.ok(error instanceof L3dsrError);
					assert.equal(error.code, "LAB_EXISTS");
					return true;
				},
			);
			assert.equal(listNamedNamespaces().length, HOSTS.length);
		} finally {
			destroyTopology("l3topology");
		}
	});

	it("deletes what it has built if a step fails", () => {
		// The names of the first two hosts just fit a file name, the third one's does not.
		const name = "l".repeat(255 - "-client".length);
		assert.throws(() => buildTopology(name), { message: /not a name that a namespace can have/ });
		assert.deepEqual(listNamedNamespaces(), []);
		// Another object than a namespace of the lab has the name.
		mkdirSync("/run/netns/l3topology-real2");
		assert.throws(() => buildTopology("l3topology"), { code: "LAB_EXISTS" });
		assert.deepEqual(listNamedNamespaces(), ["l3topology-real2"]);
		rmdirSync("/run/netns/l3topology-real2");
	});
});
