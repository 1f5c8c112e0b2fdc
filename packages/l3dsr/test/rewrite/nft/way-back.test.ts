/**
 * What this host sends from a VIP, through its output hook: as the oracle says, byte for byte. Random answers, ICMP errors
 * and others leave by a raw socket and are seen on the other end of the wire.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { IpSocket, PacketSocket } from "@l3dsr/linux";
import { parsePacket, quoteOf, wordAt } from "@l3dsr/packet";
import { enterNetns, ip, Netns, waitFor } from "../../../../../test/support/netns.ts";
import { waysBack } from "../../../src/model/way-back.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { translateBack } from "../../../src/rewrite/oracle/way-back.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { icmp, icmpError, icmpv6Error, ipv4, ipv6, type Payload, tcp, udp } from "../../packets/build.ts";
import { assertEquivalentPacket, describePacket } from "../../packets/diff.ts";
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

/** Two services whose ports are each other's, and one for a client alone. */
const rules = (["ipv4", "ipv6"] as const).flatMap((family) =>
	[
		`-p tcp -m tcp --dport 80 -j DADDR --set-daddr ${VIP[family]} --set-dport 8080 --icmp-errors`,
		`-p tcp -m tcp --dport 8080 -j DADDR --set-daddr ${VIP[family]} --set-dport 80 --icmp-errors`,
		`-p udp -m udp --dport 53 -j DADDR --set-daddr ${VIP[family]} --set-dport 5353 --icmp-errors`,
		`-s ${CLIENT[family]} -p udp -m udp --dport 54 -j DADDR --set-daddr ${VIP[family]} --set-dport 5454`,
	].map((spec) => parseRuleSpec(spec, { family, table: "raw", chain: "PREROUTING" })),
);

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
	for (const sourcePort of [80, 8080, 53, 5353, 5454, 54]) {
		for (const destination of [client, other]) {
			const ports = { sourcePort, destinationPort: 40000, data: "answer" };
			add(vip, destination, tcp(ports));
			add(vip, destination, udp(ports));
			if (family === "ipv4") add(vip, destination, udp({ ...ports, checksum: 0 }));
			add("ipv4" === family ? "192.0.2.99" : "2001:db8:a::99", destination, tcp(ports));
			// About a packet that came for the VIP, as the rules had left it.
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

test("answers and errors leave as the oracle translates them, and nothing else is changed", async () => {
	const nft = new NftDatapath();
	await setRules(nft, { entries: rules.map((rule, ordinal) => ({ rule, ordinal })) });
	assert.deepEqual((await nft.observe()).findings, []);
	using socket = new IpSocket();
	using capture = new PacketSocket({ interfaceName: "out0" });
	for (const family of ["ipv4", "ipv6"] as const) {
		const ways = waysBack(rules.filter((rule) => rule.family === family));
		assert.equal(ways.length, 4);
		const sent = packetsOf(family);
		const left: Uint8Array[] = [];
		for (const packet of sent) {
			const parsed = parsePacket(packet);
			assert(typeof parsed !== "string");
			assert.equal(socket.send(packet, parsed.destination), 0, describePacket(packet));
		}
		await waitFor("all packets", () => {
			for (;;) {
				const frame = capture.receive();
				if (frame === undefined) break;
				const bytes = frame.bytes.slice(14);
				const parsed = parsePacket(bytes);
				// Neighbour discovery of the interface is not ours.
				if (
					typeof parsed !== "string" &&
					parsed.family === family &&
					![135, 133, 143].includes(bytes[40] ?? 0)
				)
					left.push(bytes);
			}
			return left.length >= sent.length;
		});
		let translated = 0;
		for (const [index, packet] of sent.entries()) {
			const expected = translateBack(packet, ways);
			if (expected.translated) translated++;
			const same = left.find((one) => identity(one) === identity(packet));
			assert(same !== undefined, `lost: ${describePacket(packet)} (${index})`);
			assertEquivalentPacket(same, expected.bytes, describePacket(packet));
		}
		assert.ok(translated >= 20, `${translated} were translated`);
		assert.ok(sent.some((packet) => isError(packet) && translateBack(packet, ways).translated));
	}
});

function identity(packet: Uint8Array): number {
	return (packet[0] ?? 0) >> 4 === 4 ? wordAt(packet, 4) : wordAt(packet, 2);
}

function isError(packet: Uint8Array): boolean {
	const parsed = parsePacket(packet);
	return typeof parsed !== "string" && quoteOf(packet, parsed) !== undefined;
}
