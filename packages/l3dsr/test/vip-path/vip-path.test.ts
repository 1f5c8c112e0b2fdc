/** Connections along the VIP's path, to a real server in another namespace. */
import assert from "node:assert/strict";
import { createServer, Socket } from "node:net";
import { test } from "node:test";
import { clsactIngress, interfacesWithIngress, Program } from "@l3dsr/bpf";
import { ERRNO, listInterfaces, watchWritable } from "@l3dsr/linux";
import { dscp } from "@l3dsr/packet";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns } from "../../../../test/support/netns.ts";
import { compilePathProgram, PROGRAM_NAME } from "../../src/vip-path/program.ts";
import {
	type PathConnection,
	type PathOutcome,
	removeLeftFilters,
	VipPath,
} from "../../src/vip-path/vip-path.ts";
import { CODE, RealServer, VIP } from "./real-server.ts";

enterNetns();
failOnLeaks();

async function outcomeOf(connection: PathConnection): Promise<PathOutcome | undefined> {
	await new Promise<void>((resolve) => {
		const watcher = watchWritable(connection.fd, () => {
			watcher[Symbol.dispose]();
			resolve();
		});
	});
	return connection.outcome();
}

for (const hook of ["tcx", "clsact"] as const) {
	for (const family of ["ipv4", "ipv6"] as const) {
		const targetOf = (server: RealServer, port: number) => ({
			vip: VIP[family],
			real: server.addresses[family],
			dscp: dscp(CODE),
			port,
		});

		test(`the VIP answers a connection over ${family} and data passes both ways, at ${hook}`, async () => {
			await using server = new RealServer(1);
			const local: (string | undefined)[] = [];
			const port = server.listen(
				createServer((peer) => {
					peer.on("error", () => {}); // the peer resets the connections that it closes
					local.push(peer.localAddress);
					peer.on("data", (data) => peer.end(`you said ${data}`));
				}),
			);
			using path = VipPath.open({ connections: 4, hook });
			using connection = path.connect(targetOf(server, port));
			assert.deepEqual(await outcomeOf(connection), { kind: "connected", by: "vip" });
			const socket = new Socket({ fd: connection.release() });
			socket.write("hello".repeat(2000));
			let text = "";
			for await (const chunk of socket) text += String(chunk);
			assert.ok(text.startsWith("you said hello"), text);
			assert.equal(local[0]?.replace("::ffff:", ""), VIP[family].text, "to what address the connection came");
		});

		test(`a port of the VIP without a listener is refused by the VIP, over ${family}, at ${hook}`, async () => {
			await using server = new RealServer(1);
			using path = VipPath.open({ connections: 4, hook });
			using connection = path.connect(targetOf(server, 9));
			assert.deepEqual(await outcomeOf(connection), { kind: "failed", by: "vip", errno: ERRNO.ECONNREFUSED });
		});

		test(`a real server without its rule answers from its own address, over ${family}, at ${hook}`, async () => {
			await using server = new RealServer(1);
			const port = server.listenTcp();
			server.removeRule();
			using path = VipPath.open({ connections: 4, hook });
			using open = path.connect(targetOf(server, port));
			assert.deepEqual(await outcomeOf(open), { kind: "connected", by: "real" });
			using closed = path.connect(targetOf(server, 9));
			assert.deepEqual(await outcomeOf(closed), { kind: "failed", by: "real", errno: ERRNO.ECONNREFUSED });
		});
	}
}

test("many simultaneous connections to several real servers each reach their own", async () => {
	await using first = new RealServer(1);
	await using second = new RealServer(2);
	const [one, two] = [first.listenTcp(), second.listenTcp()];
	using path = VipPath.open({ connections: 100 });
	using stack = new DisposableStack();
	const target = { vip: VIP.ipv4, dscp: dscp(CODE) };
	const connections = Array.from({ length: 50 }, () => [
		stack.use(path.connect({ ...target, real: first.addresses.ipv4, port: one })),
		stack.use(path.connect({ ...target, real: second.addresses.ipv4, port: two })),
	]).flat();
	assert.equal(path.room, 0);
	assert.throws(() => path.connect({ ...target, real: first.addresses.ipv4, port: one }), RangeError);
	for (const connection of connections)
		assert.deepEqual(await outcomeOf(connection), { kind: "connected", by: "vip" });
	stack.dispose();
	assert.equal(path.room, 100);
});

test("an interface that appears later is served after a refresh", async () => {
	using path = VipPath.open({ connections: 1 });
	await using server = new RealServer(3);
	const port = server.listenTcp();
	path.refresh();
	using connection = path.connect({
		vip: VIP.ipv6,
		real: server.addresses.ipv6,
		dscp: dscp(CODE),
		port,
	});
	assert.deepEqual(await outcomeOf(connection), { kind: "connected", by: "vip" });
});

test("reports that this host has no route", () => {
	using path = VipPath.open({ connections: 1 });
	const real = VIP.ipv4; // any address without a route
	assert.throws(
		() => path.connect({ vip: VIP.ipv4, real, dscp: dscp(CODE), port: 80 }),
		(error) => error instanceof Error && "errno" in error && error.errno === ERRNO.ENETUNREACH,
	);
	assert.equal(path.room, 1);
});

test("at clsact, a path's objects are removed with it, and so are those of a killed process", async () => {
	await using server = new RealServer(1);
	const port = server.listenTcp();
	const [on = assert.fail()] = listInterfaces().filter(({ name }) => name !== "lo");
	const filters = () => clsactIngress.query(on).map(({ name }) => name);
	{
		using _path = VipPath.open({ connections: 1, hook: "clsact" });
		assert.deepEqual(filters(), [PROGRAM_NAME]);
	}
	assert.deepEqual(filters(), []);
	{
		using left = Program.load(
			compilePathProgram({ connections: 1, linkHeaderBytes: 14, ipv6ChecksumFlag: false }),
		);
		clsactIngress.attach(on, left, { priority: "first" });
	}
	assert.deepEqual(filters(), [PROGRAM_NAME], "a filter stays when its process has ended");
	{
		using path = VipPath.open({ connections: 1, hook: "clsact" });
		using connection = path.connect({ vip: VIP.ipv4, real: server.addresses.ipv4, dscp: dscp(CODE), port });
		assert.deepEqual(
			await outcomeOf(connection),
			{ kind: "connected", by: "vip" },
			"what is left does no harm",
		);
	}
	removeLeftFilters();
	assert.deepEqual(filters(), []);
	assert.equal(interfacesWithIngress().has(on.index), false, "nor is the qdisc left");
});
