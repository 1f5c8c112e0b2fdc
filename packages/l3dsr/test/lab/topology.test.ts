import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { enterNetns } from "../../../../test/support/netns.ts";
import { L3dsrError } from "../../src/errors.ts";
import { listNamespaces } from "../../src/host/netns.ts";
import { type ProgramRunner, systemPrograms } from "../../src/host/process.ts";
import { addressOf, FAMILIES, HOSTS, REAL_SERVERS, VIPS } from "../../src/lab/layout.ts";
import { buildTopology, destroyTopology, inHost } from "../../src/lab/topology.ts";

enterNetns();

const programs = systemPrograms(process.env);

describe("buildTopology", () => {
	it("connects five hosts over IPv4 and IPv6, with the first packet and without a subnet in common", async () => {
		const topology = await buildTopology(programs, "l3topology");
		try {
			for (const family of FAMILIES) {
				for (const server of REAL_SERVERS) {
					const address = addressOf(server, family).text;
					// One echo, one second: a first packet that is lost to an address still being resolved fails.
					const output = await inHost(
						programs,
						topology,
						"client",
						["ping", "-n", "-c1", "-W1", address],
						"",
					);
					// One router on the way.
					assert.match(output, new RegExp(`bytes from ${address}: icmp_seq=1 ttl=63 `));
				}
			}
			for (const { vip } of VIPS) {
				const route = await inHost(programs, topology, "router", ["ip", "route", "get", vip.text], "");
				assert.match(route, / via (10\.0\.2\.2|2001:db8:2::2) dev director-in /);
			}
		} finally {
			await destroyTopology(programs, topology.name);
		}
		assert.deepEqual(listNamespaces(), []);
	});

	it("refuses a name that is taken, and leaves what is there alone", async () => {
		await buildTopology(programs, "l3topology");
		try {
			await assert.rejects(buildTopology(programs, "l3topology"), (error) => {
				assert.ok(error instanceof L3dsrError);
				assert.equal(error.code, "LAB_EXISTS");
				return true;
			});
			assert.equal(listNamespaces().length, HOSTS.length);
		} finally {
			await destroyTopology(programs, "l3topology");
		}
	});

	it("takes away what it has built when a step fails", async () => {
		const steps: string[] = [];
		const failing = (at: string): ProgramRunner => ({
			async run(program, args, options) {
				const step = [program, ...args].join(" ");
				steps.push(step);
				if (step.includes(at)) return { exitCode: 1, stdout: "", stderr: "no such luck\n" };
				return await programs.run(program, args, options);
			},
		});
		for (const at of ["l3topology-router sh", "-n l3topology-real2 -batch", "l3topology-director nft"]) {
			await assert.rejects(buildTopology(failing(at), "l3topology"), /no such luck$/);
			assert.ok(steps.some((step) => step.includes(at)));
			assert.deepEqual(listNamespaces(), [], at);
		}
	});
});
