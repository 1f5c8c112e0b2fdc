import assert from "node:assert/strict";
import { test } from "node:test";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns, ip } from "../../../test/support/netns.ts";
import { PacketSocket } from "../src/packet-socket.ts";

enterNetns();
failOnLeaks();

ip("link add v0 type veth peer name v1");
ip("link set v0 address 02:00:00:00:00:01");
ip("link set v1 address 02:00:00:00:00:02");
ip("link set v0 up");
ip("link set v1 up");

/** An EtherType for local experiments: the stack neither sends nor receives it. */
const EXPERIMENTAL = 0x88b5;

function frame(text: string, etherType = EXPERIMENTAL, tag: readonly number[] = []): Uint8Array {
	const mac = [0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01];
	return Buffer.from([...mac, ...tag, etherType >> 8, etherType & 0xff, ...Buffer.from(text.padEnd(46))]);
}

test("frames arrive at the other end in order and byte for byte", () => {
	using sender = new PacketSocket({ interfaceName: "v0", etherType: 0 });
	using receiver = new PacketSocket({ interfaceName: "v1", etherType: EXPERIMENTAL });
	const frames = Array.from({ length: 300 }, (_, i) => frame(`frame ${i}`));
	sender.send(frames);
	for (const expected of frames) {
		const received = receiver.receive(1000);
		assert.deepEqual(Buffer.from(received?.bytes ?? []), Buffer.from(expected));
		assert.equal(received?.packetType, "host");
		assert.equal(received?.etherType, EXPERIMENTAL);
		assert.equal(received?.ifindex, receiver.ifindex);
	}
	assert.equal(receiver.receive(), undefined);
});

test("a VLAN tag that the kernel has removed is back in the frame", () => {
	using sender = new PacketSocket({ interfaceName: "v0", etherType: 0 });
	using receiver = new PacketSocket({ interfaceName: "v1", ignoreOutgoing: true });
	const tagged = frame("tagged", EXPERIMENTAL, [0x81, 0x00, 0x60, 0x2a]);
	sender.send([tagged]);
	let received = receiver.receive(1000);
	while (received !== undefined && received.etherType === 0x86dd) received = receiver.receive(1000);
	assert.deepEqual(Buffer.from(received?.bytes ?? []), Buffer.from(tagged));
	assert.equal(received?.lengthBytes, tagged.length);
});

test("receive returns after its time limit", () => {
	using receiver = new PacketSocket({ interfaceName: "v1", etherType: EXPERIMENTAL });
	const start = performance.now();
	assert.equal(receiver.receive(30), undefined);
	const took = performance.now() - start;
	assert.ok(took >= 29, `${took} ms`);
});

test("a checksum that the interface must complete is distinguished from a complete one", () => {
	using sender = new PacketSocket({ interfaceName: "v0", etherType: 0, offloads: true });
	using receiver = new PacketSocket({ interfaceName: "v1", etherType: EXPERIMENTAL, timestamps: true });
	const before = BigInt(Date.now() - 1000) * 1_000_000n;
	sender.send([
		{ bytes: frame("pending"), pendingChecksum: { startBytes: 34, offsetBytes: 16 } },
		frame("plain"),
	]);
	const [pending, plain] = [receiver.receive(1000), receiver.receive(1000)];
	assert.equal(pending?.checksum, "pending");
	assert.match(Buffer.from(pending?.bytes ?? []).toString("latin1"), /pending/);
	assert.notEqual(plain?.checksum, "pending");
	assert.ok((plain?.timestampNs ?? 0n) > before);
});

test("frames that do not fit the receive buffer are counted", () => {
	using sender = new PacketSocket({ interfaceName: "v0", etherType: 0 });
	using receiver = new PacketSocket({
		interfaceName: "v1",
		etherType: EXPERIMENTAL,
		receiveBufferBytes: 2048,
	});
	sender.send(Array.from({ length: 200 }, () => frame("flood")));
	let received = 0;
	while (receiver.receive(20) !== undefined) received++;
	assert.ok(received > 0 && received < 200, `${received} received`);
	assert.equal(receiver.takeDropped(), 200 - received);
	assert.equal(receiver.takeDropped(), 0);
});

test("a missing interface is named in the error, and nothing stays open", () => {
	for (const interfaceName of ["nosuch0", "a-name-too-long-for-an-interface"]) {
		assert.throws(() => new PacketSocket({ interfaceName }), {
			code: "SYSCALL",
			message: `open a packet socket on ${interfaceName}: ENODEV (no such device)`,
		});
	}
});
