import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { enterNetns, ip, Netns, run } from "../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../test/support/node.ts";
import { enterNetworkNamespace } from "../src/network-namespace.ts";

enterNetns();

const module = (name: string): string => fileURLToPath(new URL(`../src/${name}.ts`, import.meta.url));

test("a process that enters a namespace sees its interfaces, and keeps the old namespace's open sockets", () => {
	using peer = new Netns("peer");
	ip(`link add here0 type veth peer name there0 netns ${peer.name}`);
	ip("link set here0 up");
	peer.ip("link set there0 up");
	const script = `
		import { enterNetworkNamespace } from ${JSON.stringify(module("network-namespace"))};
		import { PacketSocket } from ${JSON.stringify(module("packet-socket"))};
		const here = new PacketSocket({ interfaceName: "here0", etherType: 0 });
		enterNetworkNamespace("/run/netns/${peer.name}");
		const there = new PacketSocket({ interfaceName: "there0", etherType: 0x88b5 });
		here.send([Buffer.alloc(60, "ffffffffffff02000000000188b5", "hex")]);
		console.log(there.receive(2000)?.etherType.toString(16));
		try { new PacketSocket({ interfaceName: "here0" }); } catch (error) { console.log(error.errnoName); }
		process.exit();
	`;
	const args = [...FROM_SOURCE, "--input-type=module", "--eval", script];
	assert.equal(run(process.execPath, ...args), "88b5\nENODEV\n");
});

test("names a missing namespace in the error", () => {
	assert.throws(() => enterNetworkNamespace("/run/netns/nosuch"), {
		code: "SYSCALL",
		message: "open network namespace /run/netns/nosuch: ENOENT (no such file or directory)",
	});
});

test("a file that is not a namespace is refused by the kernel", () => {
	assert.throws(() => enterNetworkNamespace("/proc/self/status"), {
		message: "enter network namespace /proc/self/status: EINVAL (invalid argument)",
	});
});
