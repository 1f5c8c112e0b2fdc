import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketSocket } from "../../src/sys/packet-socket.ts";
import { enterNetns, run } from "../netns.ts";
import { type OffloadState, TRAFFIC_INTERFACE, Traffic } from "./traffic.ts";

enterNetns();

const VIPS = [
	{ vip: "72.30.38.140", dscp: 1 },
	{ vip: "fc00:1000:0:6::10", dscp: 10 },
] as const;

/** The rewrite as an administrator would type it; the traffic is what is tested here. */
function turnBack(): void {
	const [v4, v6] = VIPS;
	run(
		"nft",
		"add table ip t; add chain ip t c { type filter hook prerouting priority raw; };" +
			`add rule ip t c ip dscp ${v4.dscp} ip daddr set ${v4.vip};` +
			"add table ip6 t; add chain ip6 t c { type filter hook prerouting priority raw; };" +
			`add rule ip6 t c ip6 dscp ${v6.dscp} ip6 daddr set ${v6.vip}`,
	);
}

interface Seen {
	readonly pending: boolean;
	readonly merged: boolean;
}

/** Of the TCP packets with data that came in since the socket was opened. */
function seenOn(socket: PacketSocket): Seen {
	let [pending, merged] = [false, false];
	for (let frame = socket.receive(); frame !== undefined; frame = socket.receive()) {
		if (frame.lengthBytes < 1000) continue;
		pending ||= frame.checksum === "pending";
		merged ||= frame.segmentBytes !== undefined;
	}
	return { pending, merged };
}

const STATES: readonly { offloads: OffloadState; behind: boolean; seen: Seen }[] = [
	{ offloads: "pending", behind: true, seen: { pending: true, merged: true } },
	{ offloads: "plain", behind: false, seen: { pending: false, merged: false } },
	{ offloads: "merged", behind: true, seen: { pending: true, merged: true } },
];

for (const { offloads, behind, seen } of STATES) {
	const where = behind ? "a guest behind the server" : "the server";
	test(`${offloads} traffic to a VIP on ${where} arrives intact and is answered from the VIP`, async () => {
		await using traffic = await Traffic.open({ vips: VIPS, offloads, behind });
		const lost = await traffic.udp(VIPS[0].vip, 100, 1, 100);
		assert.equal(lost.intact, 0, "something turned the packets back before there was a rule");
		turnBack();
		for (const { vip } of VIPS) {
			using capture = new PacketSocket({
				interfaceName: TRAFFIC_INTERFACE,
				ignoreOutgoing: true,
				offloads: true,
			});
			assert.deepEqual(await traffic.tcp(vip, 500_000), { intact: 1, peer: vip });
			assert.deepEqual(seenOn(capture), seen, vip);
			assert.deepEqual(await traffic.udp(vip, 400, 10), { intact: 10, peer: vip });
			assert.deepEqual(await traffic.udp(vip, 9000, 3), { intact: 3, peer: vip });
		}
		run("nft", "flush ruleset");
	});
}
