import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sightingOf } from "../../src/lab/sighting.ts";
import { icmpv6, ipv4, ipv6, tcp, udp } from "../packets/build.ts";
import { fragmentOf } from "../packets/fragment.ts";

const see = (packet: Uint8Array) => sightingOf(packet, "eth0", "in");

describe("sightingOf", () => {
	it("shows addresses, DSCP without ECN, ports and length of an IPv4 packet", () => {
		const packet = ipv4(
			{ source: "10.0.1.2", destination: "10.0.11.2", dscp: 1, ecn: 2 },
			udp({ sourcePort: 4000, destinationPort: 7, data: "x".repeat(100) }),
		);
		assert.deepEqual(see(packet), {
			device: "eth0",
			direction: "in",
			source: "10.0.1.2",
			destination: "10.0.11.2",
			dscp: 1,
			protocol: 17,
			sourcePort: 4000,
			destinationPort: 7,
			fragment: false,
			lengthBytes: 128,
		});
	});

	it("shows the same of an IPv6 packet", () => {
		const packet = ipv6(
			{ source: "2001:db8:1::2", destination: "fc00:1000:0:6::10", dscp: 10 },
			tcp({ sourcePort: 4000, destinationPort: 80, data: "" }),
		);
		assert.deepEqual(see(packet), {
			device: "eth0",
			direction: "in",
			source: "2001:db8:1::2",
			destination: "fc00:1000:0:6::10",
			dscp: 10,
			protocol: 6,
			sourcePort: 4000,
			destinationPort: 80,
			fragment: false,
			lengthBytes: 60,
		});
	});

	it("distinguishes the packet that opens a connection from its answer and from other packets", () => {
		const withFlags = (flags: number) => {
			const packet = ipv4({}, tcp({ data: "" }));
			packet[20 + 13] = flags;
			return see(packet)?.opens;
		};
		assert.equal(withFlags(0x02), "connection");
		assert.equal(withFlags(0x12), "answer");
		assert.equal(withFlags(0x10), undefined);
	});

	it("recognises fragments, of which only the first has ports", () => {
		const bodies = {
			ipv4: ipv4({}, udp({ data: "y".repeat(64) })),
			ipv6: ipv6({}, udp({ data: "y".repeat(64) })),
		};
		for (const packet of Object.values(bodies)) {
			const [first, later] = [see(fragmentOf(packet, 0, 32)), see(fragmentOf(packet, 32, 72))];
			assert.deepEqual([first?.fragment, first?.destinationPort], [true, 80]);
			assert.deepEqual([later?.fragment, later?.destinationPort], [true, undefined]);
		}
	});

	it("leaves out neighbour discovery, multicast and frames that are not IP", () => {
		assert.equal(see(ipv6({}, icmpv6({ type: 135 }))), undefined);
		assert.equal(see(ipv6({}, icmpv6({ type: 136 }))), undefined);
		assert.equal(see(ipv6({ destination: "ff02::16" }, icmpv6({ type: 143 }))), undefined);
		assert.equal(see(ipv4({ destination: "224.0.0.22" }, udp())), undefined);
		assert.equal(see(Uint8Array.of(0, 1, 8, 0)), undefined);
		assert.notEqual(see(ipv6({}, icmpv6({ type: 128 }))), undefined, "an echo request is traffic");
	});
});
