/** The memory of flows when it is full. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns } from "../../../../test/support/netns.ts";
import { currentTick, ticksBetween } from "../../src/balance/kernel/clock.ts";
import { HEADER } from "../../src/balance/tables/layout.ts";
import { IN_TRANSITION } from "../../src/balance/transition.ts";
import { bytesOf, ethernet, ipv4, tcp, udp } from "../packets/build.ts";
import { ACK, OWN_MAC_TEXT, Source, SYN, traffic, VIPS } from "./program/source.ts";
import { World } from "./program/world.ts";

enterNetns();
failOnLeaks();

const FLOWS = 400;
const FLOOD = 1 << 20;

/** Every slot is in transition, from real server (slot + 1) modulo 4 to slot modulo 4. */
function world(flowBits: number, protocol: 6 | 17 = 6): World {
	const made = new World(
		{
			vips: [{ address: VIPS.ipv4, echo: "kernel" }],
			services: [
				{
					vip: VIPS.ipv4,
					protocol,
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

/** A tick of the tables, which have 32 bits, from the present. */
function tickFromNow(ticks: number): number {
	return (currentTick() + ticks) >>> 0;
}

/** Makes all entries that are in the memory older. */
function age(made: World, ticks: number): void {
	const { buffer, byteOffset, length } = made.bytes("flows");
	const view = new DataView(buffer, byteOffset, length);
	for (let at = HEADER.size; at + 8 <= length; at += 8)
		if (view.getBigUint64(at, true) !== 0n)
			view.setUint16(at + 6, view.getUint16(at + 6, true) - ticks, true);
}

test("flows with an entry stay in a transition that lasts longer than the age of an entry can tell", () => {
	using made = world(12);
	const begun = realsOf(made, 50, SYN);
	age(made, 100);
	// 2^16 ticks are nineteen and a half hours.
	made.setTransition(0, tickFromNow(-(2 ** 16) - 10), tickFromNow(-(2 ** 16) - 10));
	made.write();
	assert.deepEqual(realsOf(made, 50, ACK), begun);
});

test("unknown UDP flows go back for half a minute after a change, and never later", () => {
	const realOf = (changed: number) => {
		using made = world(12, 17);
		made.setTransition(0, changed, changed);
		made.write();
		const packet = ipv4({ source: "60.0.0.1", destination: VIPS.ipv4 }, udp({ destinationPort: 80 }));
		return made.run(bytesOf(ethernet({ destination: OWN_MAC_TEXT }, packet))).frame[14 + 19] ?? 0;
	};
	const before = realOf(tickFromNow(0));
	const after = realOf(tickFromNow(-40));
	assert.notEqual(before, after);
	assert.equal(realOf(tickFromNow(-20)), before);
	// The program's clock may be a tick behind.
	assert.equal(realOf(tickFromNow(1)), before);
	assert.equal(realOf(tickFromNow(-(2 ** 16) - 1)), after);
});

test("between two times in ticks, more than 2^16 may pass, and the clock of the tables may wrap", () => {
	assert.equal(ticksBetween(100, 100 + 2 ** 16), 2 ** 16);
	assert.equal(ticksBetween(0xffff_fffe, 3), 5);
	assert.equal(ticksBetween(5, 4), 0, "another process has noted a slightly later time");
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
