/** Every kind of packet: one line for each, through the oracle and through the program. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns, ip } from "../../../../test/support/netns.ts";
import { currentTick } from "../../src/balance/kernel/clock.ts";
import { direct } from "../../src/balance/oracle/oracle.ts";
import {
	bytesOf,
	cut,
	ethernet,
	extension,
	type Ipv4Fields,
	type Ipv6Fields,
	icmp,
	icmpv6,
	ipv4,
	ipv6,
	type Payload,
	raw,
	tcp,
	udp,
	word,
} from "../packets/build.ts";
import { fragmentOf } from "../packets/fragment.ts";
import { OWN_IFINDEX, OWN_MAC, World, type WorldSketch } from "./program/world.ts";

enterNetns();
failOnLeaks();

const MAC = "02:00:00:00:00:01";
const hop = (ifindex: number) =>
	({
		to: "interface",
		ifindex,
		nextHop: Uint8Array.of(2, 0, 0, 0, 0, 0xfe),
		ownMac: OWN_MAC,
		mtu: 1500,
	}) as const;

/** VIPs whose pings are answered by: .10 the kernel, .11 the director, .12 a real server. */
const SKETCH: WorldSketch = {
	vips: (["kernel", "reply", "server"] as const).flatMap((echo, n) => [
		{ address: `192.0.2.1${n}`, echo },
		{ address: `2001:db8:a::1${n}`, echo },
	]),
	services: [0, 1, 2].flatMap((n) =>
		[`192.0.2.1${n}`, `2001:db8:a::1${n}`].flatMap((vip, family) =>
			([6, 17] as const).map((protocol) => ({
				vip,
				protocol,
				port: protocol === 17 && n === 2 ? 0 : 80,
				dscp: 7,
				affinity: "flow" as const,
				reals: [
					{
						address: family === 0 ? "10.1.0.1" : "2001:db8:1::1",
						up: true,
						hop: hop(n === 1 ? 9 : OWN_IFINDEX),
					},
				],
			})),
		),
	),
	codes: [{ address: "10.1.0.1", codes: 1n << 7n }],
};

const v4 = (fields: Ipv4Fields, payload: Payload) => ethernet({ destination: MAC }, ipv4(fields, payload));
const v6 = (fields: Ipv6Fields, payload: Payload) => ethernet({ destination: MAC }, ipv6(fields, payload));
const framed = (packet: Uint8Array) => ethernet({ destination: MAC }, packet);
const withFlags = (flags: number, payload = tcp()): Payload => ({
	protocol: payload.protocol,
	encode(pseudo) {
		const bytes = payload.encode(pseudo);
		bytes[13] = flags;
		return bytes;
	},
});
/** An ICMP error that quotes `packet`. */
const quoting = (family: 4 | 6, type: number, packet: Uint8Array): Payload =>
	raw(family === 4 ? 1 : 58, bytesOf([type, 4], word(0x1234), { long: 0x578 }, packet));
const long = tcp({ data: new Uint8Array(64) });
const fromVip4 = (payload = tcp({ sourcePort: 80, destinationPort: 40000 }), options: number[] = []) =>
	ipv4({ source: "192.0.2.10", destination: "198.51.100.1", options }, payload);
const fromVip6 = (extensions: ReturnType<typeof extension.hopByHop>[] = []) =>
	ipv6(
		{ source: "2001:db8:a::10", destination: "2001:db8:c::1", extensions },
		tcp({ sourcePort: 80, destinationPort: 40000 }),
	);

type Expected = "forward" | "redirect" | "answer" | `pass: ${string}` | `drop: ${string}`;

const CASES: readonly (readonly [what: string, frame: Uint8Array, expected: Expected])[] = [
	["TCP to a service", v4({}, tcp()), "forward"],
	["UDP to a service", v4({}, udp()), "forward"],
	["TCP over IPv6", v6({}, tcp()), "forward"],
	["UDP over IPv6", v6({}, udp()), "forward"],
	["a SYN with data", v4({}, withFlags(0x02)), "forward"],
	["a FIN", v4({}, withFlags(0x11)), "forward"],
	["a RST", v4({}, withFlags(0x04)), "forward"],
	["TCP options", v6({}, tcp({ options: [2, 4, 5, 180, 1, 1, 1, 0] })), "forward"],
	["ECN bits and a DSCP of the client's own", v4({ dscp: 46, ecn: 3 }, tcp()), "forward"],
	["the same over IPv6", v6({ dscp: 46, ecn: 1, flowLabel: 0xabcde }, tcp()), "forward"],
	["out of another interface", v4({ destination: "192.0.2.11" }, tcp()), "redirect"],
	[
		"a marked packet directly to a real server",
		v4({ destination: "10.1.0.1", dscp: 7 }, tcp()),
		"pass: bleached",
	],
	["an unmarked packet to a real server", v4({ destination: "10.1.0.1" }, tcp()), "pass: not-vip"],
	["a SYN+ACK to a VIP", v4({}, withFlags(0x12)), "pass: syn-ack"],
	["TTL 1", v4({ ttl: 1 }, tcp()), "pass: hops"],
	["TTL 0", v4({ ttl: 0 }, tcp()), "pass: hops"],
	["hop limit 1", v6({ hopLimit: 1 }, udp()), "pass: hops"],
	["TTL 2", v4({ ttl: 2 }, tcp()), "forward"],
	["IPv4 options", v4({ options: [148, 4, 0, 0] }, tcp()), "forward"],
	["a 60-byte IPv4 header", v4({ options: new Array(40).fill(1) }, tcp()), "forward"],
	["a loose source route", v4({ options: [1, 131, 7, 4, 10, 0, 0, 1] }, tcp()), "pass: options"],
	["a strict source route", v4({ options: [137, 7, 4, 10, 0, 0, 1, 0] }, tcp()), "pass: options"],
	[
		"IPv6 extension headers",
		v6({ extensions: [extension.hopByHop(), extension.destinationOptions(2)] }, tcp()),
		"forward",
	],
	[
		"eight extension headers",
		v6({ extensions: new Array(8).fill(extension.destinationOptions()) }, tcp()),
		"forward",
	],
	[
		"nine extension headers",
		v6({ extensions: new Array(9).fill(extension.destinationOptions()) }, tcp()),
		"pass: extensions",
	],
	[
		"a routing header without segments left",
		v6({ extensions: [extension.routing(0, "2001:db8::9")] }, tcp()),
		"forward",
	],
	[
		"a routing header with segments left",
		v6({ extensions: [extension.routing(1, "2001:db8::9")] }, tcp()),
		"pass: extensions",
	],
	["UDP checksum 0", v4({}, udp({ checksum: 0 })), "forward"],
	["UDP checksum 0 over IPv6", v6({}, udp({ checksum: 0 })), "forward"],
	["a wrong transport checksum", v4({}, tcp({ checksumError: 77 })), "forward"],
	["a wrong header checksum", v4({ checksumError: 5 }, tcp()), "forward"],
	[
		"padding after the packet",
		ethernet({ destination: MAC, minimumBytes: 90 }, ipv4({}, tcp({ data: "" }))),
		"forward",
	],
	["a total length smaller than the header", v4({ totalLength: 19 }, tcp()), "pass: length"],
	["a total length larger than the frame", v4({ totalLength: 1000 }, tcp()), "pass: length"],
	["a payload length larger than the frame", v6({ payloadLength: 1000 }, tcp()), "pass: length"],
	["a frame that ends within the TCP header", v4({}, cut(tcp(), 19)), "pass: transport-cut"],
	[
		"nonsense inside TCP",
		v4({}, { ...tcp(), encode: () => new Uint8Array(20).fill(0).fill(80, 3, 4) }),
		"forward",
	],
	["a VLAN tag", ethernet({ destination: MAC, vlans: [{ id: 5 }] }, ipv4({}, tcp())), "pass: not-ip"],
	["a VIP with another port", v4({}, tcp({ destinationPort: 81 })), "pass: no-service"],
	["a VIP with another protocol", v4({}, raw(132, "sctp")), "pass: no-service"],
	["port any", v4({ destination: "192.0.2.12" }, udp({ destinationPort: 4711 })), "forward"],
	["a first fragment", framed(fragmentOf(ipv4({ id: 7 }, long), 0, 40)), "forward"],
	["its second fragment", framed(fragmentOf(ipv4({ id: 7 }, long), 40, 64)), "forward"],
	["its last fragment", framed(fragmentOf(ipv4({ id: 7 }, long), 64, 84)), "forward"],
	[
		"a fragment whose first was not seen",
		framed(fragmentOf(ipv4({ id: 8 }, long), 40, 64)),
		"drop: fragment-unknown",
	],
	["an IPv6 first fragment", framed(fragmentOf(ipv6({}, long), 0, 40)), "forward"],
	["its last IPv6 fragment", framed(fragmentOf(ipv6({}, long), 40, 84)), "forward"],
	["a TCP fragment at offset 1", framed(fragmentOf(ipv4({ id: 7 }, long), 8, 40)), "drop: fragment-tcp"],
	["an IPv6 atomic fragment", v6({ extensions: [extension.fragment(0, false)] }, tcp()), "forward"],
	[
		"fragmentation needed, about a flow of the VIP",
		v4({ source: "203.0.113.1" }, quoting(4, 3, fromVip4())),
		"forward",
	],
	[
		"the same with 8 quoted bytes",
		v4({ source: "203.0.113.1" }, quoting(4, 3, fromVip4().slice(0, 28))),
		"forward",
	],
	[
		"the same with 7 quoted bytes",
		v4({ source: "203.0.113.1" }, quoting(4, 3, fromVip4().slice(0, 27))),
		"pass: icmp",
	],
	[
		"time exceeded, with quoted options",
		v4({}, quoting(4, 11, fromVip4(undefined, [1, 1, 1, 0]))),
		"forward",
	],
	["packet too big", v6({ source: "2001:db8:f::1" }, quoting(6, 2, fromVip6())), "forward"],
	[
		"packet too big, with a quoted extension header",
		v6({}, quoting(6, 2, fromVip6([extension.destinationOptions()]))),
		"forward",
	],
	[
		"packet too big, with two quoted extension headers",
		v6({}, quoting(6, 2, fromVip6([extension.hopByHop(), extension.destinationOptions()]))),
		"pass: icmp",
	],
	[
		"unreachable, about another host's packet",
		v4({}, quoting(4, 3, ipv4({ source: "10.1.0.1", destination: "198.51.100.1" }, tcp()))),
		"pass: icmp",
	],
	["unreachable, about an echo", v4({}, quoting(4, 3, fromVip4(icmp()))), "pass: icmp"],
	["an ICMP redirect", v4({}, quoting(4, 5, fromVip4())), "pass: icmp"],
	["a ping that the kernel answers", v4({}, icmp()), "pass: echo"],
	["a ping that the director answers", v4({ destination: "192.0.2.11", ttl: 3 }, icmp()), "answer"],
	["the same over IPv6", v6({ destination: "2001:db8:a::11" }, icmpv6()), "answer"],
	["a ping that a real server answers", v4({ destination: "192.0.2.12" }, icmp()), "forward"],
	["the same over IPv6, with its checksum", v6({ destination: "2001:db8:a::12" }, icmpv6()), "forward"],
	["a short datagram of QUIC", v4({}, udp({ data: "x" })), "forward"],
	["from the VIP itself", v4({ source: "192.0.2.10" }, tcp()), "pass: source"],
	["from loopback", v4({ source: "127.0.0.1" }, tcp()), "pass: source"],
	["from multicast", v4({ source: "224.0.0.1" }, udp()), "pass: source"],
	["from the broadcast address", v4({ source: "255.255.255.255" }, udp()), "pass: source"],
	["from the unspecified address", v6({ source: "::" }, udp()), "pass: source"],
	["from a link-local address", v6({ source: "fe80::1" }, tcp()), "pass: source"],
	[
		"to another MAC address",
		ethernet({ destination: "02:00:00:00:00:99" }, ipv4({}, tcp())),
		"pass: other-host",
	],
	[
		"to the broadcast MAC address",
		ethernet({ destination: "ff:ff:ff:ff:ff:ff" }, ipv4({}, tcp())),
		"pass: other-host",
	],
	["ARP", ethernet({ destination: MAC, etherType: 0x0806 }, new Uint8Array(46)), "pass: not-ip"],
	["neighbour discovery", v6({ destination: "2001:db8:9::1" }, icmpv6({ type: 135 })), "pass: not-vip"],
	["IPIP", v4({}, raw(4, new Uint8Array(40))), "pass: no-service"],
	["an address that is not a VIP", v4({ destination: "203.0.113.9" }, tcp()), "pass: not-vip"],
	["larger than the outgoing MTU", v4({}, tcp({ data: new Uint8Array(1500) })), "pass: too-big"],
];

ip("link add every0 type veth peer name every1");
const world = new World(SKETCH, { forward: "resolved", flows: "none" }, "every0");
for (const [number] of SKETCH.services.entries()) world.rings(number).now.fill(0);
world.write();
after(() => {
	world[Symbol.dispose]();
	ip("link delete every0");
});

const VERDICT: Readonly<Record<string, string>> = { forward: "TX", redirect: "REDIRECT", answer: "TX" };

for (const [what, frame, expected] of CASES) {
	test(`${what}: ${expected}`, () => {
		const options = { ifindex: OWN_IFINDEX, mac: OWN_MAC, forward: "resolved", flows: "none" } as const;
		const oracle = direct(frame, world.tables(), options, currentTick());
		const said =
			oracle.what === "forward"
				? oracle.by === "tx"
					? "forward"
					: oracle.by
				: oracle.what === "answer"
					? "answer"
					: `${oracle.what}: ${oracle.reason}`;
		assert.equal(said, expected, "the oracle");
		const before = world.counted().reasons;
		const actual = world.run(frame);
		assert.deepEqual(Buffer.from(actual.frame).toString("hex"), Buffer.from(oracle.frame).toString("hex"));
		const verdict = VERDICT[expected] ?? expected.slice(0, 4).toUpperCase();
		assert.equal(actual.verdict, verdict);
		const { reason } = oracle;
		if (reason !== undefined)
			assert.equal(world.counted().reasons[reason], (before[reason] ?? 0n) + 1n, "counted");
		if (expected.startsWith("pass") && !expected.endsWith("bleached"))
			assert.deepEqual(actual.frame, Uint8Array.from(frame), "as it came");
	});
}
