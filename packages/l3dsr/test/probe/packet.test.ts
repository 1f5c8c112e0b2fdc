import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseAddress } from "@l3dsr/packet";
import {
	decodePacket,
	type Envelope,
	encodeEcho,
	encodeReset,
	encodeSyn,
	encodeUdp,
} from "../../src/probe/packet.ts";
import { bytesOf, icmp, internetChecksum, ipv4, ipv6, raw, udp } from "../packets/build.ts";

const ports = { sourcePort: 40000, destinationPort: 80 };
const data = new TextEncoder().encode("odd");

function envelope(source: string, destination: string): Envelope {
	const [from, to] = [parseAddress(source), parseAddress(destination)];
	if (from === undefined || to === undefined) throw new RangeError(`${source} ${destination}`);
	return { source: from, destination: to, tos: 0x1e, ttl: 9 };
}

const FAMILIES = {
	ipv4: { addresses: { source: "192.0.2.1", destination: "198.51.100.7" }, headerBytes: 20 },
	ipv6: { addresses: { source: "2001:db8::1", destination: "2001:db8::7" }, headerBytes: 40 },
} as const;

/** The sum over pseudo-header and message: zero if the checksum is right. */
function residue(
	packet: Uint8Array,
	{ source, destination }: Envelope,
	protocol: number,
	headerBytes: number,
): number {
	const message = packet.subarray(headerBytes);
	return internetChecksum(
		source.bytes,
		destination.bytes,
		[0, protocol, message.length >> 8, message.length & 0xff],
		message,
	);
}

describe("an encoded probe", () => {
	for (const [family, { addresses, headerBytes }] of Object.entries(FAMILIES)) {
		const to = envelope(addresses.source, addresses.destination);
		const build = family === "ipv4" ? ipv4 : ipv6;
		const header = { ...addresses, dscp: 7, ecn: 2, ttl: 9, hopLimit: 9, dontFragment: true };

		it(`is the same UDP datagram over ${family} as another encoder's`, () => {
			assert.deepEqual(encodeUdp(to, ports, data), build(header, udp({ ...ports, data })));
		});

		it(`is a SYN and a reset over ${family} with correct checksums`, () => {
			for (const [packet, flags] of [
				[encodeSyn(to, ports, 0xfffffffe), 0x02],
				[encodeReset(to, ports, 0xffffffff), 0x04],
			] as const) {
				assert.equal(residue(packet, to, 6, headerBytes), 0);
				assert.equal(packet[headerBytes + 13], flags);
				assert.deepEqual(
					packet.subarray(0, headerBytes),
					build(header, raw(6, packet.subarray(headerBytes))).subarray(0, headerBytes),
				);
			}
		});
	}

	it("is the same echo request as another encoder's", () => {
		const { addresses } = FAMILIES.ipv4;
		const to = envelope(addresses.source, addresses.destination);
		const header = { ...addresses, dscp: 7, ecn: 2, ttl: 9, dontFragment: true };
		assert.deepEqual(encodeEcho(to, 0x4711, 1, data), ipv4(header, icmp(data)));
		const to6 = envelope("2001:db8::1", "2001:db8::7");
		const echo = encodeEcho(to6, 0x4711, 1, data);
		assert.equal(residue(echo, to6, 58, 40), 0);
	});
});

describe("decodePacket", () => {
	it("reads the header that an ICMP error quotes", () => {
		const syn = encodeSyn(envelope("192.0.2.1", "198.51.100.7"), ports, 12345);
		const error = ipv4(
			{ source: "192.0.2.254", destination: "192.0.2.1" },
			raw(1, bytesOf([11, 0, 0, 0, 0, 0, 0, 0], syn.subarray(0, 28))),
		);
		const packet = decodePacket(error);
		assert.ok(packet?.content.kind === "icmp-error");
		const { type, quoted } = packet.content;
		assert.deepEqual(
			[packet.source.text, type, quoted.tos, quoted.destination.text],
			["192.0.2.254", 11, 0x1e, "198.51.100.7"],
		);
		assert.deepEqual(quoted.what, { kind: "tcp", ...ports, sequence: 12345 });
	});

	it("accepts any bytes, cut anywhere", () => {
		const whole = ipv4({}, raw(1, bytesOf([3, 3, 0, 0, 0, 0, 0, 0], ipv4({}, udp()))));
		const six = ipv6({}, raw(58, bytesOf([1, 4, 0, 0, 0, 0, 0, 0], ipv6({}, udp()))));
		for (const packet of [whole, six]) {
			for (let length = 0; length < packet.length; length++) decodePacket(packet.slice(0, length));
			for (let at = 0; at < packet.length; at++) {
				const changed = packet.slice();
				changed[at] = (changed[at] ?? 0) ^ 0xff;
				decodePacket(changed);
			}
			assert.equal(decodePacket(packet)?.content.kind, "icmp-error");
		}
	});
});
