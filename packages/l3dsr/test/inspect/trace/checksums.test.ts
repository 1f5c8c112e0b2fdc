import assert from "node:assert/strict";
import { test } from "node:test";
import { dscp, parseAddress, parsePacket, verifyChecksums } from "@l3dsr/packet";
import fc from "fast-check";
import { buildPacket } from "../../../src/inspect/trace/build-packet.ts";
import {
	dccp,
	extension,
	icmp,
	icmpv6,
	ipv4,
	ipv6,
	ospfv3,
	type Payload,
	tcp,
	udp,
	udpLite,
} from "../../packets/build.ts";

function verdicts(bytes: Uint8Array, complete = true): (string | undefined)[] {
	const packet = parsePacket(bytes);
	if (typeof packet === "string") throw new Error(packet);
	const { header, transport } = verifyChecksums(bytes, packet, complete);
	return [header?.verdict, transport?.verdict];
}

const WITH_CHECKSUM: readonly [string, (fields: { checksumError?: number }) => Payload][] = [
	["TCP", tcp],
	["UDP", udp],
	["UDP-Lite over all", udpLite],
	["UDP-Lite over its header", (fields) => udpLite({ ...fields, coverage: 8 })],
	["DCCP", dccp],
];

for (const [name, payload] of WITH_CHECKSUM) {
	test(`${name}: a right checksum is good and a wrong one is bad, over IPv4 and IPv6`, () => {
		assert.deepEqual(verdicts(ipv4({}, payload({}))), ["good", "good"]);
		assert.deepEqual(verdicts(ipv6({}, payload({}))), [undefined, "good"]);
		assert.deepEqual(verdicts(ipv4({ checksumError: 3 }, payload({ checksumError: 5 }))), ["bad", "bad"]);
		assert.deepEqual(verdicts(ipv6({}, payload({ checksumError: 5 }))), [undefined, "bad"]);
	});
}

test("the checksums of ICMPv6 and OSPFv3 cover the addresses, that of ICMP does not", () => {
	assert.deepEqual(verdicts(ipv6({}, icmpv6())), [undefined, "good"]);
	assert.deepEqual(verdicts(ipv6({}, icmpv6({ checksumError: 1 }))), [undefined, "bad"]);
	assert.deepEqual(verdicts(ipv6({}, ospfv3())), [undefined, "good"]);
	assert.deepEqual(verdicts(ipv4({}, icmp())), ["good", undefined]);
});

test("unknown checksums are not called bad: none, first fragments, routing headers, short captures", () => {
	assert.deepEqual(verdicts(ipv4({}, udp({ checksum: 0 }))), ["good", "none"]);
	const first = ipv6({ extensions: [extension.fragment(0, true)] }, tcp());
	assert.deepEqual(verdicts(first), [undefined, "unknown"]);
	assert.deepEqual(verdicts(ipv6({ extensions: [extension.fragment(0, false)] }, tcp())), [
		undefined,
		"good",
	]);
	const routed = ipv6({ extensions: [extension.routing(1, "2001:db8::99")] }, tcp());
	assert.deepEqual(verdicts(routed), [undefined, "unknown"]);
	assert.deepEqual(verdicts(ipv4({}, tcp()), false), ["good", "unknown"]);
});

test("a packet built from fields has these fields, whatever they are", () => {
	const families = fc.constantFrom(
		["203.0.113.9", "10.0.0.5"] as const,
		["2001:db8::9", "2001:db8::5"] as const,
	);
	fc.assert(
		fc.property(
			families,
			fc.record({ dscp: fc.nat(63), ecn: fc.nat(3), ttl: fc.nat(255) }),
			fc.record({ destinationPort: fc.nat(65535), sourcePort: fc.nat(65535) }),
			fc.constantFrom("tcp" as const, "udp" as const, "icmp" as const),
			([from, to], ip, ports, kind) => {
				const [source, destination] = [parseAddress(from), parseAddress(to)];
				if (source === undefined || destination === undefined) throw new Error(from);
				const transport = kind === "icmp" ? { kind } : { kind, ...ports };
				const bytes = buildPacket({ source, destination, ...ip, dscp: dscp(ip.dscp), transport });
				const packet = parsePacket(bytes);
				if (typeof packet === "string") throw new Error(packet);
				assert.deepEqual(
					[packet.tos, packet.ttl, packet.length],
					[ip.dscp * 4 + ip.ecn, ip.ttl, bytes.length],
				);
				const [header, sum] = verdicts(bytes);
				assert.equal(header ?? "good", "good");
				assert.equal(sum ?? "good", "good");
			},
		),
	);
});
