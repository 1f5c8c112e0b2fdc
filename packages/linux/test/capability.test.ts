import assert from "node:assert/strict";
import { test } from "node:test";
import { withCapabilities } from "../../../test/support/capabilities.ts";
import { enterNetns } from "../../../test/support/netns.ts";
import { decodeEffective } from "../src/capability.ts";
import {
	CAPABILITIES,
	effectiveCapabilities,
	inInitialUserNamespace,
	NamespaceLock,
	NetworkNamespace,
	ownsNetworkNamespace,
} from "../src/index.ts";

enterNetns();

test("reads the effective set of a thread, which may be smaller than root's", async () => {
	assert.deepEqual(effectiveCapabilities(), new Set(Object.keys(CAPABILITIES)));
	await withCapabilities(["CAP_NET_RAW"], async () => {
		assert.deepEqual(effectiveCapabilities(), new Set(["CAP_NET_RAW"]));
	});
	assert.equal(effectiveCapabilities()?.size, Object.keys(CAPABILITIES).length);
});

test("finds the set among the other lines of /proc/PID/status, or reports that it is missing", () => {
	assert.equal(decodeEffective("Name:\tx\nCapPrm:\tff\nCapEff:\t0000000000003000\nCapBnd:\tff\n"), 0x3000n);
	assert.equal(decodeEffective("Name:\tx\n"), undefined);
});

test("root of the host is in the initial user namespace, and owns the namespaces that it creates", () => {
	assert.equal(inInitialUserNamespace(), true);
	assert.equal(ownsNetworkNamespace(), true);
});

test("one process at a time holds a lock of a network namespace, and each namespace has its own", async () => {
	using elsewhere = NetworkNamespace.create();
	{
		using _lock = await NamespaceLock.acquire("test");
		await assert.rejects(NamespaceLock.acquire("test"), {
			code: "LOCK_HELD",
			message: "lock test: held by another process",
		});
		using _other = await NamespaceLock.acquire("test-2");
		using there = await elsewhere.within(() => NamespaceLock.acquire("test"));
		assert.ok(there);
		let told = "";
		const waiting = NamespaceLock.acquire("test", {
			waitMs: 10_000,
			onWait: (holder) => {
				told = holder;
				_lock[Symbol.dispose]();
			},
		});
		using _mine = await waiting;
		assert.equal(told, "another process");
	}
	using _again = await NamespaceLock.acquire("test");
});
