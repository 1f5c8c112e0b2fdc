import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { run } from "../../../../test/support/netns.ts";
import { runs } from "../../../../test/support/property-runs.ts";
import { bytesOf, ethernet, ipv4, ipv6, tcp, udp } from "../../../l3dsr/test/packets/build.ts";
import { PacketError } from "../../src/error.ts";
import { decodeCapture } from "../../src/pcap/capture.ts";
import type { CapturedPacket } from "../../src/pcap/captured-packet.ts";
import { LINK_TYPE, networkPacketOf } from "../../src/pcap/link-layer.ts";
import { encodePcap } from "../../src/pcap/pcap.ts";

/** Writes numbers in either byte order. */
function numbers(littleEndian: boolean) {
	const write = (bytes: number, value: number): Uint8Array => {
		const view = new DataView(new ArrayBuffer(bytes));
		if (bytes === 2) view.setUint16(0, value, littleEndian);
		else view.setUint32(0, value, littleEndian);
		return new Uint8Array(view.buffer);
	};
	return { u16: (value: number) => write(2, value), u32: (value: number) => write(4, value) };
}

const packet = ipv4({ dscp: 7 }, tcp());
const frame = ethernet({}, packet);

for (const littleEndian of [true, false]) {
	const { u16, u32 } = numbers(littleEndian);
	const order = littleEndian ? "little-endian" : "big-endian";
	for (const [magic, unit, perUnit] of [
		[0xa1b2c3d4, "microseconds", 1000n],
		[0xa1b23c4d, "nanoseconds", 1n],
	] as const) {
		test(`reads pcap with ${unit}, ${order}`, () => {
			const file = bytesOf(
				u32(magic),
				u16(2),
				u16(4),
				new Uint8Array(8),
				u32(65535),
				u32(LINK_TYPE.ethernet),
				u32(1_700_000_000),
				u32(123_456),
				u32(frame.length),
				u32(frame.length + 100),
				frame,
			);
			const { packets, cutShort } = decodeCapture(file, "x.pcap");
			assert.equal(cutShort, false);
			assert.equal(packets.length, 1);
			const [only] = packets;
			assert.deepEqual(only && { ...only, bytes: Uint8Array.from(only.bytes) }, {
				linkType: 1,
				timestampNs: 1_700_000_000_000_000_000n + 123_456n * perUnit,
				bytes: frame,
				lengthBytes: frame.length + 100,
			});
		});
	}

	test(`reads pcapng with two interfaces, another resolution, and unknown blocks, ${order}`, () => {
		const block = (type: number, body: Uint8Array) => {
			const padded = bytesOf(body, new Uint8Array((4 - (body.length % 4)) % 4));
			return bytesOf(u32(type), u32(padded.length + 12), padded, u32(padded.length + 12));
		};
		const nanoseconds = bytesOf(u16(9), u16(1), [9, 0, 0, 0], u16(0), u16(0));
		const file = bytesOf(
			block(0x0a0d0d0a, bytesOf(u32(0x1a2b3c4d), u16(1), u16(0), new Uint8Array(8).fill(0xff))),
			block(1, bytesOf(u16(LINK_TYPE.ethernet), u16(0), u32(0))),
			block(1, bytesOf(u16(LINK_TYPE.raw), u16(0), u32(0), nanoseconds)),
			block(5, new Uint8Array(12)),
			block(6, bytesOf(u32(0), u32(0), u32(5), u32(frame.length), u32(frame.length), frame)),
			block(6, bytesOf(u32(1), u32(0), u32(7), u32(packet.length), u32(packet.length), packet)),
			block(3, bytesOf(u32(frame.length), frame)),
			block(2, bytesOf(u16(1), u16(0), u32(0), u32(9), u32(packet.length), u32(packet.length), packet)),
		);
		const { packets, cutShort } = decodeCapture(file, "x.pcapng");
		assert.equal(cutShort, false);
		assert.deepEqual(
			packets.map(({ linkType, timestampNs, bytes }) => [linkType, timestampNs, bytes.length]),
			[
				[1, 5000n, frame.length],
				[101, 7n, packet.length],
				[1, 0n, frame.length],
				[101, 9n, packet.length],
			],
		);
	});
}

test("tcpdump reads the written file, and its own file is read", () => {
	const folder = mkdtempSync(join(tmpdir(), "l3dsr-pcap-"));
	try {
		const packets = [frame, ethernet({}, ipv6({ dscp: 10 }, udp()))].map((bytes, index) => ({
			bytes,
			lengthBytes: bytes.length,
			timestampNs: 1_700_000_000_123_456_789n + BigInt(index),
		}));
		const file = join(folder, "a.pcap");
		writeFileSync(file, encodePcap(packets, LINK_TYPE.ethernet));
		const text = run("tcpdump", "-nnr", file, "--nano");
		assert.match(text, /\.123456789 IP 198\.51\.100\.1\.40000 > 192\.0\.2\.10\.80: /);
		assert.match(text, /\.123456790 IP6 2001:db8:c::1\.40000 > 2001:db8:a::10\.80: UDP/);
		run("tcpdump", "-nnr", file, "-w", join(folder, "b.pcap"));
		const again = decodeCapture(readFileSync(join(folder, "b.pcap")), "b.pcap");
		assert.deepEqual(
			again.packets.map(({ bytes, timestampNs }) => [
				Buffer.from(bytes).toString("hex"),
				timestampNs / 1000n,
			]),
			packets.map(({ bytes, timestampNs }) => [Buffer.from(bytes).toString("hex"), timestampNs / 1000n]),
		);
	} finally {
		rmSync(folder, { recursive: true });
	}
});

const arbitraryPackets = fc.array(
	fc.record({
		bytes: fc.uint8Array({ maxLength: 80 }),
		timestampNs: fc.bigInt({ min: 0n, max: (1n << 32n) * 1_000_000_000n - 1n }),
		more: fc.nat(2000),
	}),
	{ maxLength: 5 },
);

test("written packets are read back; a file cut anywhere gives the packets before the cut", () => {
	fc.assert(
		fc.property(arbitraryPackets, fc.nat(), (made, cut) => {
			const packets = made.map(({ bytes, timestampNs, more }) => ({
				linkType: LINK_TYPE.raw,
				timestampNs,
				bytes,
				lengthBytes: bytes.length + more,
			}));
			const file = encodePcap(packets, LINK_TYPE.raw);
			const plain = (all: readonly CapturedPacket[]) =>
				all.map((one) => ({ ...one, bytes: Buffer.from(one.bytes).toString("hex") }));
			assert.deepEqual(plain(decodeCapture(file, "x").packets), plain(packets));
			const length = 4 + (cut % (file.length - 3));
			const part = decodeCapture(file.subarray(0, length), "x");
			assert.deepEqual(plain(part.packets), plain(packets).slice(0, part.packets.length));
			assert.equal(decodeCapture(file, "x").cutShort, false);
		}),
	);
});

test("any bytes are either a capture or a CAPTURE_FORMAT error, and no frame throws", () => {
	const heads = [[0xd4, 0xc3, 0xb2, 0xa1], [0xa1, 0xb2, 0x3c, 0x4d], [0x0a, 0x0d, 0x0d, 0x0a], []];
	const sections = [[], [28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a], [0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d]];
	fc.assert(
		fc.property(
			fc.constantFrom(...heads),
			fc.constantFrom(...sections),
			fc.uint8Array({ maxLength: 200 }),
			(head, section, rest) => {
				try {
					for (const { bytes } of decodeCapture(bytesOf(head, section, rest), "x").packets) {
						assert.ok(bytes.length <= rest.length);
					}
				} catch (error) {
					assert.ok(error instanceof PacketError && error.code === "CAPTURE_FORMAT", String(error));
				}
				for (const linkType of [...Object.values(LINK_TYPE), 0, 147]) {
					const found = networkPacketOf(rest, linkType);
					if (typeof found !== "string") assert.ok(found.offset <= Math.max(rest.length, 0), `${linkType}`);
				}
			},
		),
		{ numRuns: runs(2000) },
	);
});

test("finds the IP packet after Ethernet, VLAN tags, and both cooked headers", () => {
	const at = (bytes: Uint8Array, linkType: number) => {
		const found = networkPacketOf(bytes, linkType);
		return typeof found === "string" ? found : [found.offset, found.vlans, found.outgoing];
	};
	assert.deepEqual(at(frame, LINK_TYPE.ethernet), [14, [], false]);
	assert.deepEqual(at(ethernet({ vlans: [{ id: 0 }, { id: 12 }] }, packet), LINK_TYPE.ethernet), [
		22,
		[0, 12],
		false,
	]);
	assert.deepEqual(at(packet, LINK_TYPE.raw), [0, [], false]);
	const cooked = bytesOf([0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0], packet);
	assert.deepEqual(at(cooked, LINK_TYPE.linuxCooked), [16, [], true]);
	const cooked2 = bytesOf([8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], packet);
	assert.deepEqual(at(cooked2, LINK_TYPE.linuxCooked2), [20, [], false]);
	assert.equal(at(ethernet({ etherType: 0x0806 }, packet), LINK_TYPE.ethernet), "not-ip");
	assert.equal(at(frame.subarray(0, 13), LINK_TYPE.ethernet), "frame-cut");
	assert.equal(at(frame, 147), "link-type-unknown");
});
