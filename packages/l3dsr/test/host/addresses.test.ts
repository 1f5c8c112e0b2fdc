import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { addressFromBytes } from "@l3dsr/packet";
import { enterNetns, run } from "../../../../test/support/netns.ts";
import { changeLoopbackAddresses, listLoopbackAddresses } from "../../src/host/addresses.ts";

enterNetns();

const ipv4 = (n: number) => addressFromBytes([192, 0, 2, n]);
const ipv6 = (n: number) => addressFromBytes([0x20, 1, 0xd, 0xb8, ...new Array<number>(11).fill(0), n]);

const vips = () => listLoopbackAddresses().filter(({ scope }) => scope === "global");

describe("changeLoopbackAddresses", () => {
	it("adds sixty VIPs of each family with labels in one run, and deletes them again", async () => {
		const labels = Array.from({ length: 60 }, (_, n) => `lo:${n + 1}`);
		const addresses = [
			...labels.map((label, n) => ({ address: ipv4(n), label })),
			...labels.map((_, n) => ({ address: ipv6(n) })),
		];
		changeLoopbackAddresses(addresses.map((change) => ({ kind: "add", ...change })));
		const observed = vips();
		assert.equal(observed.length, 120);
		assert.deepEqual(
			observed.find(({ address }) => address.text === "192.0.2.7"),
			{ address: ipv4(7), prefixLength: 32, label: "lo:8", scope: "global" },
		);
		assert.deepEqual(
			observed.find(({ address }) => address.text === "2001:db8::7"),
			{ address: ipv6(7), prefixLength: 128, scope: "global" },
		);
		changeLoopbackAddresses(addresses.map(({ address }) => ({ kind: "remove", address })));
		assert.deepEqual(vips(), []);
	});

	it("recognises the addresses that up has added, and no others", () => {
		run("ip", "address", "add", "192.0.2.6/32", "dev", "lo", "label", "lo:6");
		run("ip", "address", "add", "2001:db8::6/128", "dev", "lo", "preferred_lft", "0");
		changeLoopbackAddresses([
			{ kind: "add", address: ipv4(5), label: "lo:5", own: true },
			{ kind: "add", address: ipv6(5), own: true },
			{ kind: "add", address: ipv4(7), label: "lo:7" },
		]);
		const own = listLoopbackAddresses().filter((entry) => entry.own === true);
		assert.deepEqual(
			own.map(({ address }) => address.text),
			["192.0.2.5", "2001:db8::5"],
		);
		for (const address of [5, 6, 7].map(ipv4)) changeLoopbackAddresses([{ kind: "remove", address }]);
		for (const address of [5, 6].map(ipv6)) changeLoopbackAddresses([{ kind: "remove", address }]);
		assert.deepEqual(vips(), []);
	});

	it("names the address that the kernel refuses", async () => {
		const change = { kind: "add", address: ipv4(1), label: "lo:1" } as const;
		assert.throws(() => changeLoopbackAddresses([change, change]), {
			name: "L3dsrError",
			code: "KERNEL_SYSCALL",
			message: /^add 192\.0\.2\.1 to lo: EEXIST/,
		});
		changeLoopbackAddresses([{ kind: "remove", address: ipv4(1) }]);
	});
});
