/** The memory of flows when it is full. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns } from "../../../../test/support/netns.ts";
import { currentTick } from "../../src/balance/kernel/clock.ts";
import { IN_TRANSITION } from "../../src/balance/transition.ts";
import { bytesOf, ethernet, ipv4, tcp } from "../packets/build.ts";
import { ACK, OWN_MAC_TEXT, Source, SYN, traffic, VIPS } from "./program/source.ts";
import { World } from "./program/world.ts";

enterNetns();
failOnLeaks();

const FLOWS = 400;
const FLOOD = 1 << 20;

/** Every slot is in transition, from real server (slot + 1) modulo 4 to slot modulo 4. */
function world(flowBits: number): World {
	const made = new World(
		{
			vips: [{ address: VIPS.ipv4, echo: "kernel" }],
			services: [
				{
					vip: VIPS.ipv4,
					protocol: 6,
					port: 80,
					dscp: 7,
					affinity: "flow",
					reals: [1, 2, 3, 4].map((n) => ({
						address: `10.1.0.${n}`,
						up: true,
						hop: {
							to: "interface",
							ifindex: 7,
							nextHop: new Uint8Array(6),
							ownMac: new Uint8Array(6),
							mtu: 1500,
						},
					})),
				},
			],
			codes: [],
		},
		{ forward: "resolved", flows: "transition", flowBits },
	);
	const { now, before } = made.rings(0);
	for (let slot = 0; slot < now.length; slot++) {
		now[slot] = (slot % 4) | IN_TRANSITION;
		before[slot] = (slot + 1) % 4;
	}
	made.setTransition(0, currentTick() - 5, currentTick() - 5);
	made.write();
	return made;
}

/** The real servers of flows from one network, by the last byte of their addresses. */
function realsOf(made: World, network: number, flags: number): number[] {
	return Array.from({ length: FLOWS }, (_, n) => {
		const frame = bytesOf(
			ethernet(
				{ destination: OWN_MAC_TEXT },
				ipv4(
					{ source: `${network}.0.${n >> 8}.${n & 255}`, destination: VIPS.ipv4 },
					tcp({ sourcePort: 5000 + n }),
				),
			),
		);
		frame[14 + 20 + 13] = flags;
		return made.run(frame).frame[14 + 19] ?? 0;
	});
}

test("a flood of a million SYNs during a drain moves neither established nor new flows", () => {
	using made = world(17);
	const old = realsOf(made, 20, ACK);
	const begun = realsOf(made, 30, SYN);
	assert.deepEqual(realsOf(made, 30, ACK), begun, "they have entries");
	assert.notDeepEqual(
		realsOf(made, 31, ACK),
		realsOf(made, 31, SYN),
		"a flow without entry goes to another real server than a new one",
	);
	using flood = new Source(traffic(FLOOD, SYN), made.program);
	flood.test(FLOOD);
	assert.ok(made.rememberedFlows().length > FLOOD * 0.5, "the flood has filled the memory");
	assert.deepEqual(realsOf(made, 20, ACK), old);
	assert.deepEqual(realsOf(made, 30, ACK), begun);
});

test("in a full memory, entries seen once are dropped before any that was seen twice", () => {
	using made = world(6);
	// 64 buckets of 8: these flows alone fill four fifths of them.
	const begun = realsOf(made, 30, SYN);
	const kept = realsOf(made, 30, ACK).filter((one, n) => one === begun[n]).length;
	using flood = new Source(traffic(1 << 16, SYN), made.program);
	flood.test(1 << 16);
	const after = realsOf(made, 30, ACK).filter((one, n) => one === begun[n]).length;
	// A bucket with eight confirmed entries has given up one of them.
	assert.ok(after >= kept - 64, `${after} of ${kept} flows stay`);
	assert.ok(after > FLOWS / 2);
});

test("a RST, and a packet of an unknown flow, leave no entry", () => {
	using made = world(12);
	realsOf(made, 40, 0x04);
	realsOf(made, 41, ACK);
	assert.deepEqual(made.rememberedFlows(), []);
	realsOf(made, 42, SYN);
	const entries = made.rememberedFlows().length;
	assert.ok(entries > FLOWS * 0.95 && entries <= FLOWS);
	const begun = realsOf(made, 42, ACK);
	assert.deepEqual(realsOf(made, 42, 0x11), begun, "a FIN does not end an entry");
	assert.deepEqual(realsOf(made, 42, ACK), begun);
	assert.equal(made.rememberedFlows().length, entries);
});
