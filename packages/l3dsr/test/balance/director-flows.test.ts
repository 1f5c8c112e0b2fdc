/** Established flows when real servers die and return, and through planned changes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { portOf } from "@l3dsr/packet";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns } from "../../../../test/support/netns.ts";
import { currentTick, ticksOf } from "../../src/balance/kernel/clock.ts";
import { Director } from "../../src/balance/kernel/director.ts";
import { ethernet, ipv4, udp } from "../packets/build.ts";
import { ACK, flowFrames, fragments, reals, realsOf, SYN, sendFlows } from "./flows.ts";
import { DIRECTOR_MAC, real, SETTINGS, VIP, Wire, wishOf } from "./wire.ts";

enterNetns();
failOnLeaks();

test("a real server's death moves only its own flows; after its recovery it gets new ones, the others stay", () => {
	using wire = new Wire(10);
	using director = Director.open();
	director.apply(wishOf(reals(5)), SETTINGS);
	const before = sendFlows(wire, flowFrames(300, ACK));
	const dead = wishOf(reals(5), {}, (_service, _pool, name) => name !== "r3");
	const change = director.apply(dead, SETTINGS);
	assert.deepEqual(change.attached, [], "no program is replaced");
	assert.ok(change.services.every(({ inTransition }) => !inTransition));
	const during = sendFlows(wire, flowFrames(300, ACK));
	before.forEach((one, flow) => {
		if (one === 3) assert.notEqual(during[flow], 3);
		else assert.equal(during[flow], one);
	});
	const back = director.apply(wishOf(reals(5)), SETTINGS);
	assert.ok(back.services.every(({ inTransition }) => inTransition));
	assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), during, "established flows stay");
	assert.deepEqual(sendFlows(wire, flowFrames(300, SYN)), before, "new flows go where they went at first");
	assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), before, "and stay there: they have entries");
	director.detach();
});

for (const [what, after] of [
	["one is added", (all: ReturnType<typeof real>[]) => [...all, real(9)]],
	["one is removed", (all: ReturnType<typeof real>[]) => all.slice(1)],
	["one drains", (all: ReturnType<typeof real>[]) => [real(1, { state: "drain" }), ...all.slice(1)]],
	["weights change", (all: ReturnType<typeof real>[]) => [real(1, { weight: 5 }), ...all.slice(1)]],
	["every one is exchanged", () => [real(11), real(12), real(13)]],
] as const) {
	test(`established flows stay with their real servers when ${what}, until the drain is over`, () => {
		using wire = new Wire(20);
		using director = Director.open();
		director.apply(wishOf(reals(4)), SETTINGS);
		const before = sendFlows(wire, flowFrames(300, ACK));
		director.apply(wishOf(after(reals(4))), SETTINGS);
		assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), before, "known flows");
		const fresh = sendFlows(wire, flowFrames(300, SYN));
		assert.notDeepEqual(fresh, before);
		assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), fresh, "flows that began meanwhile");
		assert.equal(director.endDrains(), 0, "the drain is not over");
		const over = currentTick() + ticksOf(900_000) + 1;
		assert.ok(director.endDrains(over) > 0);
		assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), fresh, "after the drain");
		const { services } = director.status();
		assert.ok(
			services.every(
				({ transition, reals: all }) => transition === undefined && all.every(({ leaving }) => !leaving),
			),
		);
		director.detach();
	});
}

test("after each death and recovery among several services, a process has nothing left to do", () => {
	using _wire = new Wire(10);
	using director = Director.open();
	const services = [80, 443].map((port) => ({
		port: portOf(port),
		protocols: ["tcp"] as const,
		pool: "front",
		affinity: "flow" as const,
	}));
	const wish = (dead: readonly string[]) =>
		wishOf(reals(4), { services }, ({ address, port }, _pool, name) => {
			return !dead.includes(`${name} ${address.family} ${port}`);
		});
	director.apply(wish([]), SETTINGS);
	const events: readonly (readonly string[])[] = [
		["r1 ipv4 80"],
		["r1 ipv4 80", "r2 ipv6 443"],
		["r2 ipv6 443", "r3 ipv6 443"],
		["r3 ipv6 443"],
		[],
	];
	for (const dead of events) {
		const change = director.apply(wish(dead), SETTINGS);
		assert.equal(change.services.length, dead.length === 2 && dead[0] === "r2 ipv6 443" ? 2 : 1, `${dead}`);
		using other = Director.open();
		assert.deepEqual(other.plan(wish(dead), SETTINGS).services, [], `after ${dead}`);
		for (const { service, reals: all } of director.status().services) {
			const down = all.flatMap(({ slots }, n) => (slots === 0 ? [`r${n + 1}`] : []));
			const wanted = dead.filter((one) => one.endsWith(` ${service.address.family} ${service.port}`));
			assert.deepEqual(
				down,
				wanted.map((one) => one.split(" ")[0]),
				`slots after ${dead}`,
			);
		}
	}
	director.detach();
});

test("two changes in one drain keep the flows of the first real servers and those that began in between", () => {
	using wire = new Wire(20);
	using director = Director.open();
	director.apply(wishOf([real(1)]), SETTINGS);
	const frames = flowFrames(200, ACK);
	assert.ok(sendFlows(wire, frames).every((one) => one === 1));
	director.apply(wishOf([real(2)]), SETTINGS);
	const second = flowFrames(100, SYN).map((frame) => frame.slice());
	assert.ok(sendFlows(wire, second).every((one) => one === 2));
	director.apply(wishOf([real(3)]), SETTINGS);
	const now = sendFlows(wire, frames);
	assert.ok(
		now.slice(0, 100).every((one) => one === 2),
		"began with the second",
	);
	assert.ok(
		now.slice(100).every((one) => one === 1),
		"began with the first",
	);
	director.detach();
});

test("UDP flows in changed slots stay with their real server", () => {
	using wire = new Wire(20);
	using director = Director.open();
	director.apply(wishOf([real(1)]), SETTINGS);
	director.apply(wishOf([real(2)]), SETTINGS);
	const datagrams = Array.from({ length: 50 }, (_, n) =>
		ethernet({ destination: DIRECTOR_MAC }, ipv4({ destination: VIP[0] }, udp({ sourcePort: 2000 + n }))),
	);
	assert.ok(sendFlows(wire, datagrams).every((one) => one === 1));
	director.detach();
});

test("later fragments do not follow a real server whose number another service has got", () => {
	using wire = new Wire(20);
	using director = Director.open();
	const on = (port: number, ...protocols: readonly ("tcp" | "udp")[]) =>
		({ port: portOf(port), protocols, pool: "front", affinity: "flow" }) as const;
	director.apply(wishOf(reals(1), { services: [on(80, "tcp", "udp")] }), SETTINGS);
	assert.deepEqual(sendFlows(wire, fragments(10, "first")), Array(10).fill(1));
	director.apply(wishOf(reals(1), { services: [on(80, "tcp")] }), SETTINGS);
	director.apply(wishOf([real(1), real(9)], { services: [on(80, "tcp"), on(81, "tcp")] }), SETTINGS);
	assert.deepEqual(realsOf(wire.exchange(fragments(10, "last"))), []);
	director.detach();
});
