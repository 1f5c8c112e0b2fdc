/**
 * The process behind {@link Crossing}: has packet sockets in three network namespaces and sends frames
 * across.
 *
 * It runs on one CPU, so the kernel has one queue, in order, for these frames. After each batch it sends a
 * marker frame over the ingress link and then over the egress link. The marker therefore arrives after all
 * frames that result from the batch.
 */

import { enterNetworkNamespace, PacketSocket } from "@l3dsr/linux";
import { type CapturedFrame, type CrossingReply, type CrossingRequest, LINKS } from "./crossing-protocol.ts";

const MARKER_TYPE = 0x88b5;
const MARKER_DEADLINE_MS = 5000;

const [senderNetns = "", sinkNetns = ""] = process.argv.slice(2);
const buffer = { receiveBufferBytes: 64 << 20 };

const ingress = new PacketSocket({ interfaceName: LINKS.ingress, etherType: MARKER_TYPE, ...buffer });
const egress = new PacketSocket({ interfaceName: LINKS.egress, etherType: 0 });
enterNetworkNamespace(`/run/netns/${senderNetns}`);
const sender = new PacketSocket({ interfaceName: LINKS.sender, etherType: 0, offloads: true });
enterNetworkNamespace(`/run/netns/${sinkNetns}`);
const sink = new PacketSocket({ interfaceName: LINKS.sink, ignoreOutgoing: true, ...buffer });

let markers = 0;

function marker(): Uint8Array {
	const frame = Buffer.alloc(60);
	frame.fill(0xff, 0, 6); // to everyone
	frame[6] = 0x02;
	frame.writeUInt16BE(MARKER_TYPE, 12);
	frame.writeUInt32BE(++markers, 14);
	return frame;
}

/** Receives until `expected` arrives; passes the frames before it to `take`. */
function receiveUntil(
	socket: PacketSocket,
	expected: Uint8Array,
	take: (frame: CapturedFrame) => void,
): void {
	for (;;) {
		const frame = socket.receive(MARKER_DEADLINE_MS);
		if (frame === undefined) throw new Error(`a marker did not arrive at ${socket.interfaceName}`);
		if (frame.etherType !== MARKER_TYPE) take({ bytes: frame.bytes, checksum: frame.checksum });
		else if (Buffer.compare(frame.bytes, expected) === 0) return;
	}
}

function cross({ frames, batch }: CrossingRequest): CapturedFrame[] {
	const captured: CapturedFrame[] = [];
	for (let at = 0; at < frames.length; at += batch) {
		const end = marker();
		sender.send([...frames.slice(at, at + batch), end]);
		receiveUntil(ingress, end, () => {});
		egress.send([end]);
		receiveUntil(sink, end, (frame) => captured.push(frame));
	}
	const lost = sink.takeDropped();
	if (lost > 0) throw new Error(`the sink's receive buffer was too small for ${lost} frames`);
	return captured;
}

process.on("message", (request: CrossingRequest) => {
	let reply: CrossingReply;
	try {
		reply = { frames: cross(request) };
	} catch (error) {
		reply = { error: String(error) };
	}
	process.send?.(reply);
});
process.on("disconnect", () => process.exit());
process.send?.("ready");
