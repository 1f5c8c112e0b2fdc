/**
 * Packets that this host sends from a VIP, through its output hook: the same bytes as from the oracle. Random
 * answers, ICMP errors and other packets leave through a raw socket and are captured at the other end of the
 * link.
 */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { IpSocket, PacketSocket } from "@l3dsr/linux";
import { type Family, parsePacket, quoteOf, wordAt } from "@l3dsr/packet";
import fc from "fast-check";
import { enterNetns, ip, Netns, waitFor } from "../../../../../test/support/netns.ts";
import { waysBack } from "../../../src/model/way-back.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { translateBack, type WayBackResult } from "../../../src/rewrite/oracle/way-back.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import {
	cut,
	dccp,
	extension,
	icmp,
	icmpError,
	icmpv6Error,
	ipv4,
	ipv6,
	type Payload,
	type PortFields,
	raw,
	sctp,
	tcp,
	udp,
	udpLite,
} from "../../packets/build.ts";
import { assertEquivalentPacket, describePacket } from "../../packets/diff.ts";
import { fragmentOf } from "../../packets/fragment.ts";
import { setRules } from "../set-rules.ts";

enterNetns();

const VIP = { ipv4: "192.0.2.10", ipv6: "2001:db8:a::10" } as const;
const CLIENT = { ipv4: "198.51.100.1", ipv6: "2001:db8:c::1" } as const;
const OTHER = { ipv4: "198.51.100.2", ipv6: "2001:db8:c::2" } as const;

const peer = new Netns("peer");
ip(`link add out0 type veth peer name peer0 netns ${peer.name}`);
ip("link set out0 address 02:00:00:00:00:01 up");
peer.ip("link set peer0 address 02:00:00:00:00:02 up");
ip("addr add 198.51.100.250/24 dev out0");
ip("addr add 2001:db8:c::fa/64 dev out0 nodad");
for (const address of [CLIENT.ipv4, OTHER.ipv4]) ip(`neigh add ${address} lladdr 02:00:00:00:00:02 dev out0`);
for (const address of [CLIENT.ipv6, OTHER.ipv6]) ip(`neigh add ${address} lladdr 02:00:00:00:00:02 dev out0`);

/** Two services with swapped ports, and one for a single client. */
const rules = (["ipv4", "ipv6"] as const).flatMap((family) =>
	[
		`-p tcp -m tcp --dport 80 -j DADDR --set-daddr ${VIP[family]} --set-dport 8080 --icmp-errors`,
		`-p tcp -m tcp --dport 8080 -j DADDR --set-daddr ${VIP[family]} --set-dport 80 --icmp-errors`,
		`-p udp -m udp --dport 53 -j DADDR --set-daddr ${VIP[family]} --set-dport 5353 --icmp-errors`,
		`-s ${CLIENT[family]} -p udp -m udp --dport 54 -j DADDR --set-daddr ${VIP[family]} --set-dport 5454`,
	].map((spec) => parseRuleSpec(spec, { family, table: "raw", chain: "PREROUTING" })),
);

const PORTS = [80, 8080, 53, 5353, 5454, 54];
const ETHERNET_HEADER_BYTES = 14;

function packetsOf(family: "ipv4" | "ipv6"): Uint8Array[] {
	const [vip, client, other] = [VIP[family], CLIENT[family], OTHER[family]];
	const build = (source: string, destination: string, payload: Payload, id: number) =>
		family === "ipv4"
			? ipv4({ source, destination, id }, payload)
			: ipv6({ source, destination, flowLabel: id }, payload);
	const error = family === "ipv4" ? icmpError : icmpv6Error;
	const packets: Uint8Array[] = [];
	const add = (source: string, destination: string, payload: Payload) =>
		packets.push(build(source, destination, payload, packets.length + 1));
	for (const sourcePort of PORTS) {
		for (const destination of [client, other]) {
			const ports = { sourcePort, destinationPort: 40000, data: "answer" };
			add(vip, destination, tcp(ports));
			add(vip, destination, udp(ports));
			if (family === "ipv4") add(vip, destination, udp({ ...ports, checksum: 0 }));
			add("ipv4" === family ? "192.0.2.99" : "2001:db8:a::99", destination, tcp(ports));
			// About a packet for the VIP, after the rules have rewritten it.
			for (const message of [tcp, udp]) {
				const quoted = build(
					destination,
					vip,
					message({ sourcePort: 40000, destinationPort: sourcePort }),
					0,
				);
				add(vip, destination, error(quoted.subarray(0, quoted.length), family === "ipv4" ? 3 : 1, 3));
				add(
					vip,
					destination,
					error(quoted.subarray(0, (family === "ipv4" ? 20 : 40) + 8), family === "ipv4" ? 11 : 3),
				);
			}
		}
	}
	if (family === "ipv4") add(vip, client, icmp("not an error"));
	return packets;
}

const nft = new NftDatapath();
before(() => setRules(nft, { entries: rules.map((rule, ordinal) => ({ rule, ordinal })) }));

/** Sends packets of one family from this host and returns them as they left; each has its own identity. */
async function leave(sent: readonly Uint8Array[]): Promise<Uint8Array[]> {
	using socket = new IpSocket();
	using capture = new PacketSocket({ interfaceName: "out0" });
	for (const packet of sent) {
		const destination = packet.subarray(...((packet[0] ?? 0) >> 4 === 4 ? [16, 20] : [24, 40]));
		assert.equal(socket.send(packet, destination), 0, describePacket(packet));
	}
	const left = new Map<number, Uint8Array>();
	const wanted = new Set(sent.map(identity));
	await waitFor("all packets", () => {
		for (let frame = capture.receive(); frame !== undefined; frame = capture.receive()) {
			const bytes = frame.bytes.slice(ETHERNET_HEADER_BYTES);
			// Neighbour discovery has none.
			if (wanted.has(identity(bytes))) left.set(identity(bytes), bytes);
		}
		return left.size === sent.length;
	});
	return sent.map((packet) => left.get(identity(packet)) ?? assert.fail("lost"));
}

/** The number of packets that the oracle translates; fails if one left in another form. */
async function assertTranslated(family: Family, sent: readonly Uint8Array[]): Promise<number> {
	const ways = waysBack(rules.filter((rule) => rule.family === family));
	const left = await leave(sent);
	const expected = sent.map((packet) => translateBack(packet, ways));
	for (const [index, packet] of sent.entries()) {
		const [actual, { bytes }] = [left[index], expected[index]] as [Uint8Array, WayBackResult];
		assertEquivalentPacket(actual, bytes, describePacket(packet));
	}
	return expected.filter(({ translated }) => translated).length;
}

for (const family of ["ipv4", "ipv6"] as const) {
	test(`answers and errors leave as the oracle translates them, and nothing else is changed: ${family}`, async () => {
		assert.deepEqual((await nft.observe()).findings, []);
		assert.equal(waysBack(rules.filter((rule) => rule.family === family)).length, 4);
		const sent = packetsOf(family);
		const translated = await assertTranslated(family, sent);
		assert.ok(translated >= 20 && translated < sent.length, `${translated} were translated`);
		assert.ok((await assertTranslated(family, sent.filter(isError))) > 0);
	});

	test(`random packets of this host leave as the oracle translates them, whole, fragmented and truncated: ${family}`, async () => {
		let translated = 0;
		await fc.assert(
			fc.asyncProperty(arbitraryBatch(family), async (batch) => {
				translated += await assertTranslated(family, batch);
			}),
			{ numRuns: 25, endOnFailure: true },
		);
		assert.ok(translated > 50, `${translated} were translated`);
	});
}

/** Packets that this host could send, each with its own identity. */
function arbitraryBatch(family: Family): fc.Arbitrary<readonly Uint8Array[]> {
	return fc
		.array(arbitrarySent(family), { minLength: 40, maxLength: 40 })
		.map((builds) => builds.map((build, index) => build(index + 1)));
}

type Build = (id: number) => Uint8Array;

function arbitrarySent(family: Family): fc.Arbitrary<Build> {
	const [here, there] = [
		[VIP[family], VIP[family], VIP[family], family === "ipv4" ? "192.0.2.99" : "2001:db8:a::99"],
		[CLIENT[family], OTHER[family]],
	];
	const fields = fc.record({
		sourcePort: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...PORTS) }, fc.nat(0xffff)),
		destinationPort: fc.constantFrom(40000, ...PORTS),
		data: fc.uint8Array({ maxLength: 40 }),
	});
	const wrong = fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 0xfffe }));
	const message = fc.oneof(
		{
			weight: 4,
			arbitrary: fc.tuple(fields, wrong).map(([some, by]) => tcp({ ...some, checksumError: by })),
		},
		{
			weight: 4,
			arbitrary: fc.tuple(fields, wrong).map(([some, by]) => udp({ ...some, checksumError: by })),
		},
		fields.map((some) => udp({ ...some, checksum: 0 })),
		fields.map(udpLite),
		fields.map(dccp),
		fields.map(sctp),
		fields.map(({ data }) => raw(253, data)),
	);
	const quoted = fc
		.record({
			source: fc.constantFrom(...there),
			destination: fc.constantFrom(...here),
			ports: fields.map((some) => ({
				...some,
				sourcePort: some.destinationPort,
				destinationPort: some.sourcePort,
			})),
			kind: fc.constantFrom<((fields: PortFields) => Payload)[]>(tcp, tcp, udp, udp, udpLite, sctp),
			fragment: rarely(fc.constantFrom(0, 8)),
			keep: rarely(fc.integer({ min: 0, max: 60 })),
			type: fc.constantFrom(...(family === "ipv4" ? [3, 3, 11, 12, 8] : [1, 1, 2, 3, 4, 128])),
		})
		.map(({ ports, kind, fragment, keep = 1000, type, ...addresses }) => {
			const whole = family === "ipv4" ? ipv4(addresses, kind(ports)) : ipv6(addresses, kind(ports));
			const start = (fragment === undefined ? whole : fragmentOf(whole, fragment, fragment + 16)).subarray(
				0,
				keep,
			);
			return family === "ipv4" ? icmpError(start, type) : icmpv6Error(start, type);
		});
	return fc
		.record({
			source: fc.constantFrom(...here),
			destination: fc.constantFrom(...there),
			payload: fc.oneof({ weight: 2, arbitrary: message }, quoted),
			options: rarely(fc.integer({ min: 1, max: 10 })),
			extensions: rarely(
				fc.constantFrom(
					[extension.hopByHop()],
					[extension.destinationOptions(2)],
					[extension.hopByHop(), extension.destinationOptions(1)],
					[extension.fragment(0, false)],
				),
			),
			cutTo: rarely(fc.integer({ min: 0, max: 30 })),
			fragment: rarely(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 40 }))),
		})
		.map(
			({ payload, options = 0, extensions = [], cutTo, fragment, ...addresses }): Build =>
				(id) => {
					const body = cutTo === undefined ? payload : cut(payload, cutTo);
					const whole =
						family === "ipv4"
							? ipv4({ ...addresses, id, options: new Array(options * 4).fill(1) }, body)
							: ipv6({ ...addresses, flowLabel: id, extensions }, body);
					const length = whole.length - (family === "ipv4" ? 20 + options * 4 : 40);
					if (fragment === undefined || fragment[0] * 8 >= length) return whole;
					return fragmentOf(whole, fragment[0] * 8, fragment[0] * 8 + fragment[1]);
				},
		);
}

function rarely<T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
	return fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
}

function identity(packet: Uint8Array): number {
	return (packet[0] ?? 0) >> 4 === 4 ? wordAt(packet, 4) : wordAt(packet, 2);
}

function isError(packet: Uint8Array): boolean {
	const parsed = parsePacket(packet);
	return typeof parsed !== "string" && quoteOf(packet, parsed) !== undefined;
}
