/**
 * Sends a record of each packet to a ring buffer, and reads the records in the event loop with `for await`.
 *
 *     node watch-ports.ts        # as root: shows the datagrams that it sends to itself
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import * as bpf from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";

const RECORD = bpf.struct("record", { bytes: "u32", port: "be16", _pad: "u16" });
const UDP_PROTOCOL = 17;
const DATAGRAMS = 3;
const ring = bpf.ringBufferSpec("records", 65536);

function watchPorts(): bpf.ProgramSpec {
	const p = new bpf.ProgramBuilder({ name: "watch_ports", type: "BPF_PROG_TYPE_SCHED_CLS" });
	const ctx = p.context(bpf.SKB);
	const pass = p.label("pass");
	const udpAt = bpf.ETHERNET.bytes + bpf.IPV4.bytes;

	p.comment("find UDP behind a plain IPv4 header");
	p.keep(ctx);
	const data = p.load(ctx.data, { name: "data" });
	const end = p.load(ctx.data_end, { name: "end" });
	p.prove(data, udpAt + bpf.UDP.bytes, end, pass);
	p.gotoIf(bpf.view(data, bpf.ETHERNET).type, "!=", 0x0800, pass);
	p.gotoIf(bpf.view(data, bpf.IPV4, bpf.ETHERNET.bytes).protocol, "!=", UDP_PROTOCOL, pass);

	p.comment("send a record");
	const record = p.stack("record", RECORD);
	{
		using port = p.load(bpf.view(data, bpf.UDP, udpAt).destination);
		using bytes = p.load(ctx.len);
		p.storeFields(record, { bytes, port });
	}
	p.run("bpf_ringbuf_output", [p.map(ring), record, RECORD.size, 0]);

	p.place(pass);
	p.comment("let it pass");
	p.exit(bpf.TC_ACT.UNSPEC);
	return p.build();
}

const loopback = interfaceByName("lo");
using records = bpf.RingBuffer.create(ring, RECORD);
using program = bpf.Program.load(watchPorts(), { maps: new Map([[ring.name, records.map]]) });
bpf.clsactIngress.attach(loopback, program);
try {
	const socket = createSocket("udp4");
	socket.bind(0, "127.0.0.1");
	await once(socket, "listening");
	for (let n = 1; n <= DATAGRAMS; n++) socket.send("x".repeat(n), 5000 + n, "127.0.0.1");
	let seen = 0;
	for await (const { port, bytes } of records) {
		if (port <= 5000 || port > 5000 + DATAGRAMS) continue;
		console.log(`port ${port}: ${bytes} bytes`);
		if (++seen === DATAGRAMS) break;
	}
	socket.close();
} finally {
	for (const attached of bpf.clsactIngress.query(loopback)) {
		if (attached.programId === program.info.id) bpf.clsactIngress.detach(loopback, attached);
	}
	bpf.removeEmptyClsact(loopback);
}
