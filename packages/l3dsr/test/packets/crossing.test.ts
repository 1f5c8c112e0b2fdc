import assert from "node:assert/strict";
import { test } from "node:test";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns, run } from "../../../../test/support/netns.ts";
import { cut, ipv4, ipv6, type Payload, tcp, udp } from "./build.ts";
import { beforeAndAfter, CATALOGUE, REAL_IPV4, VIP_IPV4 } from "./catalogue.ts";
import { Crossing, forwarded, IN_INTERFACE, withIdentity } from "./crossing.ts";
import { assertSamePacket } from "./diff.ts";

enterNetns();
failOnLeaks();

test("a host without rules forwards every packet of the catalogue except those that it drops", async () => {
	await using crossing = await Crossing.open();
	const packets = CATALOGUE.map((packetCase, i) => beforeAndAfter(packetCase, { id: i + 1 }).before);
	const arrived = await crossing.send(packets);
	for (const [i, packetCase] of CATALOGUE.entries()) {
		const packet = arrived[i];
		assert.equal(packet === undefined, packetCase.kernel === "drops before prerouting", packetCase.name);
		if (packet !== undefined) assertSamePacket(packet, forwarded(packets[i] ?? packet), packetCase.name);
	}
});

test("a pending checksum is complete when the packet comes out", async () => {
	await using crossing = await Crossing.open();
	const payloads: Payload[] = [tcp(), udp(), tcp({ data: "" }), udp({ data: "odd" })];
	const packets = payloads.flatMap((payload, id) => [
		ipv4({ id }, payload),
		ipv6({ flowLabel: id }, payload),
	]);
	const arrived = await crossing.send(packets, { pendingChecksums: true });
	for (const [i, packet] of packets.entries()) {
		assertSamePacket(arrived[i] ?? new Uint8Array(), forwarded(packet), `packet ${i}`);
	}
});

test("frames arrive with priority tags and padding, and leave without", async () => {
	await using crossing = await Crossing.open();
	const payloads: Payload[] = [tcp(), udp({ data: "" }), cut(tcp(), 4)];
	const packets = payloads.flatMap((payload, id) => [
		ipv4({ id }, payload),
		ipv6({ flowLabel: id }, payload),
	]);
	const tags = [
		[],
		[{ id: 0, priority: 7 }],
		[
			{ id: 0, tpid: 0x88a8 },
			{ id: 0, priority: 1 },
		],
	];
	for (const vlans of tags) {
		const arrived = await crossing.send(packets, { vlans, minimumBytes: 60 });
		for (const [i, packet] of packets.entries()) {
			const title = `packet ${i} with tags ${JSON.stringify(vlans)}`;
			// Forwarding removes the padding: only the packet is sent on.
			assertSamePacket(arrived[i] ?? new Uint8Array(), forwarded(packet), title);
		}
	}
});

test("every change of packets in this namespace is visible, and thousands of them cross in a second or two", async () => {
	await using crossing = await Crossing.open();
	run("nft", "add table ip t; add chain ip t c { type filter hook prerouting priority raw; }");
	run("nft", `add rule ip t c iifname ${IN_INTERFACE} ip dscp 7 ip daddr set ${VIP_IPV4}`);
	const packet = (destination: string, dscp: number) => ipv4({ destination, dscp }, udp());
	const packets = Array.from({ length: 5000 }, (_, id) => withIdentity(packet(REAL_IPV4, id % 8), id));
	const arrived = await crossing.send(packets);
	for (let id = 0; id < packets.length; id++) {
		const expected = withIdentity(packet(id % 8 === 7 ? VIP_IPV4 : REAL_IPV4, id % 8), id);
		assertSamePacket(arrived[id] ?? new Uint8Array(), forwarded(expected), `packet ${id}`);
	}
});

test("another identity keeps a right header checksum right and a wrong one wrong", () => {
	const right = withIdentity(ipv4({ id: 1 }, udp()), 0xbeef);
	assertSamePacket(right, ipv4({ id: 0xbeef }, udp()), "right");
	const wrong = withIdentity(ipv4({ id: 1, checksumError: 0x77 }, udp()), 0xbeef);
	assertSamePacket(wrong, ipv4({ id: 0xbeef, checksumError: 0x77 }, udp()), "wrong");
	assertSamePacket(withIdentity(ipv6({}, udp()), 0xabcde), ipv6({ flowLabel: 0xabcde }, udp()), "IPv6");
});
