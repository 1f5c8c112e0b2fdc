import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { describe, it } from "node:test";
import { addressFromBytes } from "@l3dsr/packet";
import { enterNetns, run, waitFor } from "../../../../test/support/netns.ts";
import { changeLoopbackAddresses, listLoopbackAddresses } from "../../src/host/addresses.ts";

enterNetns();

const ipv4 = (n: number) => addressFromBytes([192, 0, 2, n]);
const ipv6 = (n: number) => addressFromBytes([0x20, 1, 0xd, 0xb8, ...new Array<number>(11).fill(0), n]);

const vips = () => listLoopbackAddresses().filter(({ scope }) => scope === "global");

/** What `ip monitor route` prints until it is disposed of. */
class RouteMonitor implements Disposable {
	text = "";
	readonly #child = spawn("ip", ["-o", "monitor", "route"], { stdio: ["ignore", "pipe", "inherit"] });

	constructor() {
		this.#child.stdout.on("data", (chunk) => {
			this.text += String(chunk);
		});
	}

	[Symbol.dispose](): void {
		this.#child.kill("SIGKILL");
	}
}

describe("changeLoopbackAddresses", () => {
	it("adds sixty VIPs of each family in one run, labelled, and takes them away again", async () => {
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

	it("gives an address another label, and it is local all the while, also where it stands twice", async () => {
		changeLoopbackAddresses([
			{ kind: "add", address: ipv4(5) },
			{ kind: "add", address: ipv4(5), prefixLength: 31 },
			{ kind: "add", address: ipv4(6) },
		]);
		// Every change of the routes meanwhile; one that goes would be seen, whatever comes after it.
		using monitor = new RouteMonitor();
		await waitFor("the monitor", () => {
			run("ip", "route", "replace", "local", "203.0.113.1", "dev", "lo");
			return monitor.text.includes("203.0.113.1");
		});
		changeLoopbackAddresses([
			{ kind: "relabel", address: ipv4(5), label: "lo:7", spareLength: 30 },
			{ kind: "relabel", address: ipv4(6), label: "lo:8" },
		]);
		run("ip", "route", "del", "local", "203.0.113.1", "dev", "lo");
		await waitFor("the last change", () => monitor.text.includes("Deleted local 203.0.113.1"));
		assert.deepEqual(
			vips()
				.map(({ address, prefixLength, label }) => `${address.text}/${prefixLength} ${label}`)
				.sort(),
			["192.0.2.5/31 lo", "192.0.2.5/32 lo:7", "192.0.2.6/32 lo:8"],
		);
		assert.doesNotMatch(monitor.text, /^Deleted local 192\.0\.2\.[56] /m);
		changeLoopbackAddresses([
			{ kind: "remove", address: ipv4(5), prefixLength: 31 },
			{ kind: "remove", address: ipv4(5) },
			{ kind: "remove", address: ipv4(6) },
		]);
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
