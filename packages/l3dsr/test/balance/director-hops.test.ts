/** Next hops: where the director sends packets, and what it does without one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketSocket } from "@l3dsr/linux";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns, ip, run, waitFor } from "../../../../test/support/netns.ts";
import { Director } from "../../src/balance/kernel/director.ts";
import { ethernet, ipv4, tcp } from "../packets/build.ts";
import { ACK, flowFrames, reals, realsOf } from "./flows.ts";
import { DIRECTOR, DIRECTOR_MAC, ROUTER_MAC, real, SETTINGS, VIP, WIRE, Wire, wishOf } from "./wire.ts";

enterNetns();
failOnLeaks();

test("refreshNextHops() follows a changed next hop; without one it asks the kernel's table, then the kernel", async () => {
	using wire = new Wire(20);
	using director = Director.open();
	director.apply(wishOf([real(1)]), SETTINGS);
	const macOf = (frames: readonly Uint8Array[]) =>
		frames.map((frame) => Buffer.from(frame.subarray(0, 6)).toString("hex"));
	const [frame] = flowFrames(1, ACK);
	assert.ok(frame !== undefined);
	assert.deepEqual(macOf(wire.exchange([frame])), ["0200000000fe"]);
	ip(`neigh replace 10.9.0.254 lladdr 02:00:00:00:00:fd dev ${DIRECTOR} nud permanent`);
	assert.equal(director.refreshNextHops().changed, 2, "TCP and UDP of one family");
	assert.deepEqual(macOf(wire.exchange([frame])), ["0200000000fd"]);
	assert.equal(director.refreshNextHops().changed, 0);

	ip(`neigh del 10.9.0.254 dev ${DIRECTOR}`);
	const lost = director.refreshNextHops();
	assert.deepEqual(
		lost.unresolved.map(({ text }) => text),
		["10.1.0.1"],
	);
	// The kernel resolves the router; until then it keeps or drops frames.
	const before = director.status().reasons["by-kernel"];
	wire.send([frame]);
	await waitFor("the packet that went to the kernel", () => director.status().reasons["by-kernel"] > before);
	// The program itself finds a neighbour that the tables do not have yet.
	run("sysctl", "-qw", "net.ipv4.ip_forward=1");
	ip(`neigh replace 10.9.0.254 lladdr ${ROUTER_MAC} dev ${DIRECTOR} nud permanent`);
	assert.deepEqual(macOf(wire.exchange([frame], 1000)), ["0200000000fe"]);
	director.detach();
});

test("next hops stay when the interface gets another name, or is configured by an alternative one", () => {
	using _wire = new Wire(10);
	ip(`link property add dev ${DIRECTOR} altname uplink0`);
	using director = Director.open();
	director.apply(wishOf(reals(2)), { ...SETTINGS, interfaces: ["uplink0"] });
	const hops = () => director.status().services.flatMap(({ reals: all }) => all.map(({ hop }) => hop.to));
	assert.deepEqual([...new Set(hops())], ["interface"]);
	assert.equal(director.needsUpkeep(), false);
	ip(`link set ${DIRECTOR} name renamed0`);
	try {
		assert.equal(director.refreshNextHops().changed, 0);
		using other = Director.open();
		assert.equal(other.refreshNextHops().changed, 0);
	} finally {
		ip(`link set renamed0 name ${DIRECTOR}`);
	}
	director.detach();
});

test("without a next hop, a packet larger than the route's MTU goes to the kernel as it came", async () => {
	using wire = new Wire();
	run("sysctl", "-qw", "net.ipv4.ip_forward=1");
	ip(`route add 10.1.0.0/24 via 10.9.0.253 mtu lock 1000`);
	ip(`route add 198.51.0.0/16 via 10.9.0.254`);
	using director = Director.open();
	director.apply(wishOf([real(1)]), SETTINGS);
	using capture = new PacketSocket({ interfaceName: WIRE, ignoreOutgoing: true });
	const large = ethernet(
		{ destination: DIRECTOR_MAC },
		ipv4({ source: "198.51.0.1", destination: VIP[0], dontFragment: true }, tcp({ data: "x".repeat(1200) })),
	);
	wire.send([large]);
	await waitFor("the packet that is too big", () => director.status().reasons["too-big"] === 1n);
	assert.equal(director.status().reasons["by-kernel"], 0n);
	const real1 = Buffer.from([10, 1, 0, 1]);
	let error: Uint8Array | undefined;
	await waitFor("the kernel's ICMP error", () => {
		const bytes = capture.receive(100)?.bytes;
		if (bytes?.[23] === 1) error = bytes;
		return error !== undefined;
	});
	assert.ok(!Buffer.from(error ?? []).includes(real1), "it does not quote the real server");
	director.detach();
});

test("without a next hop, the kernel routes to real servers behind an interface without the program", () => {
	using wire = new Wire();
	ip(`link add side0 type veth peer name side1`);
	for (const name of ["side0", "side1"]) ip(`link set ${name} up`);
	try {
		ip(`address add 10.8.0.1/24 dev side0`);
		ip(`neigh replace 10.8.0.254 lladdr ${ROUTER_MAC} dev side0 nud permanent`);
		run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0");
		run("sysctl", "-qw", "net.ipv4.conf.dir0.rp_filter=0");
		using director = Director.open();
		director.apply(wishOf([real(1)]), SETTINGS);
		ip(`route add 10.1.0.0/24 via 10.8.0.254`);
		using side = new PacketSocket({ interfaceName: "side1", ignoreOutgoing: true });
		wire.send(flowFrames(1, ACK));
		const deadline = performance.now() + 2000;
		let frame = side.receive(2000);
		while (frame !== undefined && frame.etherType !== 0x0800)
			frame = side.receive(Math.max(1, deadline - performance.now()));
		assert.deepEqual(realsOf([frame?.bytes ?? new Uint8Array(0)]), [1]);
		assert.equal(director.status().reasons["by-kernel"], 1n);
		director.detach();
	} finally {
		ip("link delete side0");
	}
});

test("without a route the real server is reported as unreachable", () => {
	using _wire = new Wire();
	using director = Director.open();
	const { unreachable } = director.apply(wishOf([real(1)]), SETTINGS);
	assert.deepEqual([...new Set(unreachable.map(({ text }) => text))], ["10.1.0.1", "2001:db8:1::1"]);
	director.detach();
});

test("a process that keeps the director finds the routes to real servers that another one has set", () => {
	using _wire = new Wire(20);
	using agent = Director.open();
	agent.apply(wishOf(reals(3)), SETTINGS);
	assert.equal(agent.needsUpkeep(), false);
	{
		using command = Director.open();
		command.apply(wishOf(reals(3)), { ...SETTINGS, forward: "kernel" });
	}
	agent.findAgain();
	assert.equal(agent.needsUpkeep(), false, "it would write other ways than the command has");
	agent.detach();
});
