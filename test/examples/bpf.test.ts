import assert from "node:assert/strict";
import { test } from "node:test";
import { countByProtocol } from "../../examples/bpf/count-by-protocol.ts";
import { formatListing } from "../../src/bpf/asm/index.ts";
import { sumPerCpu } from "../../src/bpf/map.ts";
import { Program } from "../../src/bpf/program.ts";
import { testRun } from "../../src/bpf/test-run.ts";
import { assertGolden } from "../golden.ts";
import { failOnLeaks } from "../leak.ts";

failOnLeaks();

/** An Ethernet frame of 60 bytes with this type, and this byte at this offset. */
function frame(type: number, offset: number, byte: number): Uint8Array {
	const data = new Uint8Array(60);
	new DataView(data.buffer).setUint16(12, type);
	data[14] = type === 0x86dd ? 0x60 : 0x45;
	data[offset] = byte;
	return data;
}

test("count-by-protocol has the listing that its README shows", () => {
	assertGolden("bpf/count-by-protocol.txt", formatListing(countByProtocol().instructions));
});

test("count-by-protocol counts IPv4 and IPv6 by protocol, nothing else, and lets all pass", () => {
	using program = Program.load(countByProtocol());
	const packets = [
		frame(0x0800, 23, 6),
		frame(0x0800, 23, 6),
		frame(0x0800, 23, 17),
		frame(0x86dd, 20, 58),
		frame(0x0806, 23, 1),
	];
	for (const data of packets) assert.equal(testRun(program, { data }).verdict, 0);
	const counters = program.map("by_protocol");
	const counted = counters.entries().flatMap(({ value }, protocol) => {
		const [count = 0n, bytes = 0n] = sumPerCpu(counters, value);
		return count === 0n ? [] : [[protocol, count, bytes]];
	});
	assert.deepEqual(counted, [
		[6, 2n, 120n],
		[17, 1n, 60n],
		[58, 1n, 60n],
	]);
});
