/** The director in the kernel: what it does with packets, and what a change of VIPs or tables, and another process, keep. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { portOf } from "@l3dsr/packet";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns } from "../../../../test/support/netns.ts";
import { currentTick, ticksOf } from "../../src/balance/kernel/clock.ts";
import { Director } from "../../src/balance/kernel/director.ts";
import { RING_SLOTS } from "../../src/balance/ring.ts";
import { bytesOf, ethernet, ipv4, ipv6, tcp } from "../packets/build.ts";
import { ACK, flowFrames, fragments, reals, realsOf, SYN, sendFlows } from "./flows.ts";
import { DIRECTOR, DIRECTOR_MAC, ROUTER_MAC, real, SETTINGS, Wire, wishOf } from "./wire.ts";

enterNetns();
failOnLeaks();

test("frames for a VIP leave with the real server's address, the DSCP, one hop less and the router's MAC", () => {
	using wire = new Wire(10);
	using director = Director.open();
	assert.equal(director.isRunning, false);
	const change = director.apply(wishOf(reals(2)), SETTINGS);
	assert.deepEqual(change.attached, [DIRECTOR]);
	assert.deepEqual([change.unresolved, change.unreachable], [[], []]);
	assert.equal(director.isRunning, true);
	for (const family of ["ipv4", "ipv6"] as const) {
		const [back] = wire.exchange(flowFrames(1, SYN, family));
		assert.ok(back !== undefined);
		const [to] = realsOf([back]);
		assert.ok(to === 1 || to === 2, `real server ${to}`);
		const segment = tcp({ sourcePort: 1024, destinationPort: 80, data: "" });
		const expected =
			family === "ipv4"
				? ipv4({ source: "198.51.0.1", destination: `10.1.0.${to}`, dscp: 7, ttl: 63 }, segment)
				: ipv6({ source: "2001:db8:c::0", destination: `2001:db8:1::${to}`, dscp: 7, hopLimit: 63 }, segment);
		const frame = bytesOf(ethernet({ destination: ROUTER_MAC, source: DIRECTOR_MAC }, expected));
		const flagsAt = 14 + (family === "ipv4" ? 20 : 40) + 13;
		// The flags differ from those under the checksum, in the same way on both sides.
		frame[flagsAt] = SYN;
		assert.deepEqual(Buffer.from(back).toString("hex"), Buffer.from(frame).toString("hex"));
	}
	assert.deepEqual(director.detach(), [DIRECTOR]);
});

test("flows are spread over the real servers and stay with them", () => {
	using wire = new Wire(10);
	using director = Director.open();
	director.apply(wishOf(reals(4)), SETTINGS);
	const first = sendFlows(wire, flowFrames(400, SYN));
	const again = sendFlows(wire, flowFrames(400, ACK));
	assert.deepEqual(again, first);
	for (const n of [1, 2, 3, 4])
		assert.ok(first.filter((one) => one === n).length > 60, `real server ${n} got too little`);
	const { services } = director.status();
	const tcp4 = services.find(({ service }) => service.protocol === 6 && service.address.family === "ipv4");
	assert.deepEqual(
		tcp4?.reals.map(({ counters }) => Number(counters.packets)),
		[1, 2, 3, 4].map((n) => 2 * first.filter((one) => one === n).length),
	);
	director.detach();
});

test("a director's mark stays the same while packets are counted, and changes with everything a plan depends on", () => {
	using wire = new Wire(10);
	using director = Director.open();
	assert.equal(director.mark(), undefined, "nothing runs");
	const marks: (string | undefined)[] = [];
	const mark = (what: string) => {
		const found = director.mark();
		assert.ok(found !== undefined && !marks.includes(found), what);
		marks.push(found);
	};
	director.apply(wishOf(reals(5)), SETTINGS);
	mark("it runs");
	sendFlows(wire, flowFrames(300, ACK));
	assert.equal(director.mark(), marks[0]);
	using other = Director.open();
	assert.equal(other.mark(), marks[0], "in another process");
	other.apply(
		wishOf(reals(5), {}, (_service, _pool, name) => name !== "r3"),
		SETTINGS,
	);
	mark("one has died");
	other.apply(wishOf(reals(4)), SETTINGS);
	mark("one has left");
	other.apply(wishOf([real(1, { weight: 5 }), ...reals(4).slice(1)]), SETTINGS);
	mark("a weight has changed");
	other.apply(wishOf(reals(4)), { ...SETTINGS, bleach: !SETTINGS.bleach });
	director.findAgain();
	mark("another program runs");
	director.detach();
	assert.equal(director.mark(), undefined, "nothing runs any more");
});

test("with an empty fleet every packet for the VIP goes to the kernel; a fleet without VIPs has no service", () => {
	using wire = new Wire(10);
	using director = Director.open();
	director.apply(wishOf([]), SETTINGS);
	wire.send(flowFrames(5, SYN));
	assert.equal(director.status().services.length, 4);
	director.apply({ addresses: [], services: [] }, SETTINGS);
	assert.deepEqual(director.status().services, []);
	director.detach();
});

test("another process finds the running director in the middle of a transition, and continues", () => {
	using wire = new Wire(20);
	let before: number[];
	let ids: readonly number[];
	{
		using first = Director.open();
		first.apply(wishOf(reals(4)), SETTINGS);
		before = sendFlows(wire, flowFrames(300, ACK));
		first.apply(wishOf(reals(3)), SETTINGS);
		ids = first.status().programs.map(({ id }) => id);
	}
	// The process is gone, the program is not.
	assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), before);
	using second = Director.open();
	assert.equal(second.isRunning, true);
	const status = second.status();
	assert.deepEqual(
		status.programs.map(({ id }) => id),
		ids,
	);
	assert.equal(status.services.length, 4);
	assert.ok(status.services.every(({ transition }) => (transition?.slots ?? 0) > RING_SLOTS / 5));
	assert.equal(second.endDrains(currentTick() + 10_000), 0, "how long a drain takes is in the wish");
	const change = second.apply(wishOf(reals(3)), SETTINGS);
	assert.deepEqual(change.attached, [], "the program that runs is the wanted one");
	assert.deepEqual(
		change.services.map(({ moved }) => moved),
		[0, 0, 0, 0],
	);
	assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), before);
	assert.ok(second.endDrains(currentTick() + ticksOf(900_000) + 1) > 0);
	second.detach();
});

test("a change of VIPs replaces the program and keeps flows, transitions and counters", () => {
	using wire = new Wire(20);
	using director = Director.open();
	director.apply(wishOf(reals(4)), SETTINGS);
	const before = sendFlows(wire, flowFrames(200, ACK));
	director.apply(wishOf(reals(3)), SETTINGS);
	const counted = director
		.status()
		.services.map(({ reals: all }) => all.map(({ counters }) => counters.packets));
	const vip = {
		services: [80, 443].map(
			(port) => ({ port: portOf(port), protocols: ["tcp", "udp"], pool: "front", affinity: "flow" }) as const,
		),
	};
	const change = director.apply(wishOf(reals(3), vip), SETTINGS);
	assert.deepEqual(change.attached, [DIRECTOR]);
	const { services } = director.status();
	assert.equal(services.length, 8);
	const old = services.filter(({ service }) => service.port === 80);
	assert.deepEqual(
		old.map(({ reals: all }) => all.map(({ counters }) => counters.packets)).sort(),
		counted.sort(),
	);
	assert.deepEqual(sendFlows(wire, flowFrames(200, ACK)), before, "flows of the real server that has left");
	director.apply(wishOf(reals(3)), SETTINGS);
	assert.equal(director.status().services.length, 4);
	assert.deepEqual(sendFlows(wire, flowFrames(200, ACK)), before);
	director.detach();
});

const GROWTHS = {
	"real servers": wishOf([...reals(2), ...Array.from({ length: 200 }, (_, n) => real(n + 4))]),
	services: wishOf([...reals(2), real(4)], {
		services: Array.from({ length: 5 }, (_, n) => ({
			port: portOf(80 + n),
			protocols: ["tcp", "udp"],
			pool: "front",
			affinity: "flow",
		})),
	}),
};
for (const [what, grown] of Object.entries(GROWTHS)) {
	test(`tables without room for more ${what} are replaced by larger ones, with flows, transitions and counters`, () => {
		using wire = new Wire(250);
		using director = Director.open();
		director.apply(wishOf(reals(3)), SETTINGS);
		const before = sendFlows(wire, flowFrames(200, ACK));
		director.apply(wishOf([...reals(2), real(4)]), SETTINGS);
		const firsts = sendFlows(wire, fragments(60, "first"));
		const change = director.apply(grown, SETTINGS);
		assert.deepEqual(change.attached, [DIRECTOR]);
		assert.deepEqual(sendFlows(wire, fragments(60, "last")), firsts, "later fragments");
		assert.deepEqual(sendFlows(wire, flowFrames(200, ACK)), before, "known flows");
		const { services } = director.status();
		const tcp4 = services.find(
			({ service }) => service.protocol === 6 && service.port === 80 && service.address.family === "ipv4",
		);
		const total = tcp4?.reals.reduce((sum, { counters }) => sum + Number(counters.packets), 0);
		assert.equal(total, 400);
		assert.ok(
			tcp4?.reals.some(({ leaving }) => leaving),
			"the real server that left",
		);
		director.detach();
	});
}

test("a real server that returns with another's number starts to count at zero", () => {
	using wire = new Wire(20);
	using director = Director.open();
	director.apply(wishOf([real(1)]), SETTINGS);
	sendFlows(wire, flowFrames(30, SYN));
	director.apply(wishOf([real(2)]), SETTINGS);
	director.endDrains(currentTick() + ticksOf(900_000) + 1);
	director.apply(wishOf([real(3)]), SETTINGS);
	const found = director.status().services.flatMap(({ reals: all }) => all);
	assert.deepEqual(
		found.filter(({ address }) => address.text === "10.1.0.1"),
		[],
	);
	for (const { address, counters } of found.filter(({ address }) => address.text === "10.1.0.3"))
		assert.equal(counters.packets, 0n, address.text);
	director.detach();
});

test("a process that has held the director open notices another one's changes", () => {
	using wire = new Wire(20);
	using agent = Director.open();
	agent.apply(wishOf(reals(3)), SETTINGS);
	{
		using command = Director.open();
		command.apply(wishOf([...reals(3), real(9)]), SETTINGS);
	}
	// Of the agent's own wish only the health changes, but the table numbers may have changed since.
	const isHealthy = (_service: unknown, _pool: string, name: string) => name !== "r1";
	agent.apply(wishOf(reals(3), {}, isHealthy), SETTINGS);
	agent.endDrains(currentTick() + ticksOf(900_000) + 1);
	assert.ok(sendFlows(wire, flowFrames(100, ACK)).every((one) => one === 2 || one === 3));
	{
		// A separate program with its own tables.
		using command = Director.open();
		command.detach();
		using again = Director.open();
		again.apply(wishOf([real(4)]), SETTINGS);
	}
	agent.apply(wishOf(reals(3)), SETTINGS);
	agent.endDrains(currentTick() + ticksOf(900_000) + 1);
	assert.deepEqual([...new Set(sendFlows(wire, flowFrames(100, SYN)))].sort(), [1, 2, 3]);
	assert.equal(agent.status().programs.length, 1);
	agent.detach();
});

test("the explanation of a frame agrees with what the director then does, even in a transition", () => {
	using wire = new Wire(20);
	using director = Director.open();
	director.apply(wishOf(reals(4)), SETTINGS);
	director.apply(wishOf(reals(5).slice(1)), SETTINGS);
	assert.equal(director.explain(new Uint8Array(60), "lo"), undefined);
	const seen = new Set<string>();
	for (const [flags, again] of [
		[ACK, ACK],
		[SYN, ACK],
	] as const) {
		for (const frame of [
			...flowFrames(40, flags),
			...flowFrames(40, flags, "ipv6"),
			...flowFrames(40, again),
		]) {
			const expected = director.explain(frame, DIRECTOR);
			assert.ok(expected?.what === "forward");
			seen.add(expected.choice?.by ?? "");
			const [back] = wire.exchange([frame]);
			assert.deepEqual(Buffer.from(back ?? []).toString("hex"), Buffer.from(expected.frame).toString("hex"));
		}
	}
	assert.deepEqual([...seen].sort(), ["before", "entry", "ring"]);
	const other = director.explain(
		ethernet({ destination: DIRECTOR_MAC }, ipv4({ destination: "203.0.113.1" }, tcp())),
		DIRECTOR,
	);
	assert.equal(other?.what === "pass" && other.reason, "not-vip");
	director.detach();
});
