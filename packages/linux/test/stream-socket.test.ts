import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, Socket } from "node:net";
import { test } from "node:test";
import { enterNetns } from "../../../test/support/netns.ts";
import { ERRNO, PacketSocket, StreamSocket, SyscallError, watchWritable } from "../src/index.ts";

enterNetns();

const LOCAL = { ipv4: [127, 0, 0, 1], ipv6: [...new Array<number>(15).fill(0), 1] } as const;
const TOS = 7 << 2;

async function settled(socket: StreamSocket): Promise<ReturnType<StreamSocket["state"]>> {
	await new Promise<void>((resolve) => {
		const watcher = watchWritable(socket.fd, () => {
			watcher[Symbol.dispose]();
			resolve();
		});
	});
	return socket.state();
}

for (const family of ["ipv4", "ipv6"] as const) {
	test(`a connection over ${family} has its type of service from the SYN on, and becomes a socket of Node`, async () => {
		await using server = createServer((peer) => {
			peer.on("error", () => {}); // the peer resets the connections that it closes
			peer.end("hello");
		});
		server.listen(0, family === "ipv4" ? "127.0.0.1" : "::1");
		await once(server, "listening");
		using capture = new PacketSocket({ interfaceName: "lo", ignoreOutgoing: true });
		const { port } = server.address() as AddressInfo; // of a server that listens on TCP
		using socket = new StreamSocket(LOCAL[family], TOS);
		assert.equal(socket.connect(LOCAL[family], port), 0);
		assert.deepEqual(await settled(socket), { state: "connected" });
		const frame = capture.receive(1000);
		const { bytes = new Uint8Array() } = frame ?? {};
		const tos = family === "ipv4" ? bytes[15] : ((bytes[14] ?? 0) << 4) | ((bytes[15] ?? 0) >> 4);
		assert.equal((tos ?? 0) & 0xff, TOS, "of the first packet");
		const own = socket.port;
		const node = new Socket({ fd: socket.release() });
		assert.equal(node.localPort, own);
		let text = "";
		for await (const chunk of node) text += String(chunk);
		assert.equal(text, "hello");
	});
}

test("reports a refused connection, and cannot bind to an address of another host", async () => {
	using socket = new StreamSocket(LOCAL.ipv4, TOS);
	assert.equal(socket.connect(LOCAL.ipv4, 1), 0);
	assert.deepEqual(await settled(socket), { state: "failed", errno: ERRNO.ECONNREFUSED });
	assert.throws(
		() => new StreamSocket([192, 0, 2, 1], 0),
		(error) => error instanceof SyscallError && error.errno === ERRNO.EADDRNOTAVAIL,
	);
});

test("disposing of a connection resets it", async () => {
	await using server = createServer();
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	const { port } = server.address() as AddressInfo;
	const accepted = once(server, "connection") as Promise<[Socket]>;
	const socket = new StreamSocket(LOCAL.ipv4, TOS);
	assert.equal(socket.connect(LOCAL.ipv4, port), 0);
	const [peer] = await accepted;
	const failed = once(peer, "error") as Promise<[NodeJS.ErrnoException]>;
	peer.resume();
	socket[Symbol.dispose]();
	assert.equal((await failed)[0].code, "ECONNRESET");
});
