import assert from "node:assert/strict";
import { test } from "node:test";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { COUNTERS, countByProtocol } from "../examples/count-by-protocol.ts";
import { dropUdpPort } from "../examples/drop-udp-port.ts";
import { formatListing } from "../src/asm/index.ts";
import { Program } from "../src/program.ts";
import { testRun } from "../src/test-run.ts";
import { assertGolden } from "./golden.ts";

failOnLeaks();

/** An Ethernet frame of 60 bytes with this type, and this byte at this offset. */
function frame(type: number, offset: number, byte: number): Uint8Array {
	const data = new Uint8Array(60);
	new DataView(data.buffer).setUint16(12, type);
	data[14] = type === 0x86dd ? 0x60 : 0x45;
	data[offset] = byte;
	return data;
}

test("count-by-protocol has the stored listing", () => {
	assertGolden("count-by-protocol.txt", formatListing(countByProtocol().instructions));
});

test("count-by-protocol counts IPv4 and IPv6 by protocol, nothing else, and passes all packets", () => {
	using program = Program.load(countByProtocol());
	const packets = [
		frame(0x0800, 23, 6),
		frame(0x0800, 23, 6),
		frame(0x0800, 23, 17),
		frame(0x86dd, 20, 58),
		frame(0x0806, 23, 1),
	];
	for (const data of packets) assert.equal(testRun(program, { data }).verdict, 0);
	const counted = program
		.map(COUNTERS)
		.entries()
		.flatMap(({ key, value }) => {
			const count = value.reduce((sum, { packets }) => sum + packets, 0n);
			const bytes = value.reduce((sum, cpu) => sum + cpu.bytes, 0n);
			return count === 0n ? [] : [[key, count, bytes]];
		});
	assert.deepEqual(counted, [
		[6, 2n, 120n],
		[17, 1n, 60n],
		[58, 1n, 60n],
	]);
});

/** IPv6 with these headers one after the other: [number, bytes]; the last is the transport header. */
function ipv6(...headers: readonly (readonly [number: number, bytes: readonly number[]])[]): Uint8Array {
	const data = new Uint8Array(54 + headers.reduce((sum, [, bytes]) => sum + bytes.length, 0));
	data.set([0x86, 0xdd, 0x60], 12);
	let at = 54;
	let nextHeaderAt = 20;
	for (const [number, bytes] of headers) {
		data[nextHeaderAt] = number;
		data.set(bytes, at);
		nextHeaderAt = at;
		at += bytes.length;
	}
	return data;
}

const UDP_53 = [17, [0x04, 0xd2, 0, 53, 0, 8, 0, 0]] as const;
const UDP_54 = [17, [0x04, 0xd2, 0, 54, 0, 8, 0, 0]] as const;
const OPTIONS_8 = [60, [0, 0, 1, 4, 0, 0, 0, 0]] as const;
const OPTIONS_16 = [60, [0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]] as const;
const HOP_BY_HOP = [0, OPTIONS_8[1]] as const;
const FIRST_FRAGMENT = [44, [0, 0, 0, 1, 0, 0, 0, 9]] as const;
const LATER_FRAGMENT = [44, [0, 0, 0, 8, 0, 0, 0, 9]] as const;
const [DROP, PASS] = [1, 2];

test("drop-udp-port finds the port behind extension headers, and nowhere else", () => {
	using program = Program.load(dropUdpPort(53));
	const cases: readonly (readonly [what: string, packet: Uint8Array, verdict: number])[] = [
		["the port", ipv6(UDP_53), DROP],
		["another port", ipv6(UDP_54), PASS],
		["behind options", ipv6(HOP_BY_HOP, OPTIONS_16, OPTIONS_8, UDP_53), DROP],
		["another port behind options", ipv6(HOP_BY_HOP, OPTIONS_16, UDP_54), PASS],
		["a first fragment", ipv6(FIRST_FRAGMENT, UDP_53), DROP],
		["a later fragment", ipv6(LATER_FRAGMENT, UDP_53), PASS],
		["eight headers", ipv6(...Array.from({ length: 8 }, () => OPTIONS_8), UDP_53), DROP],
		["nine headers", ipv6(...Array.from({ length: 9 }, () => OPTIONS_8), UDP_53), PASS],
		["cut short", ipv6(OPTIONS_16, UDP_53).subarray(0, 72), PASS],
		["options longer than the packet", ipv6([60, [17, 200, 0, 0, 0, 0, 0, 0]], UDP_53), PASS],
		["IPv4", frame(0x0800, 23, 17), PASS],
	];
	for (const [what, data, verdict] of cases) {
		assert.equal(testRun(program, { data }).verdict, verdict, what);
	}
});
