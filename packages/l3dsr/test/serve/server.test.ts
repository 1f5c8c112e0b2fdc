/** The servers of the process that speaks HTTP, with a slow agent and unusual clients. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, it } from "node:test";
import { ListeningSocket } from "@l3dsr/linux";
import { enterNetns, waitFor } from "../../../../test/support/netns.ts";
import { Answers } from "../../src/serve/http/answers.ts";
import { EventStreams } from "../../src/serve/http/event-streams.ts";
import { Exposition } from "../../src/serve/http/exposition.ts";
import { Routes } from "../../src/serve/http/routes.ts";
import { serve } from "../../src/serve/http/server.ts";

enterNetns();

/** The time after which the agent counts as silent, and an answer as unread. */
const PATIENCE_MS = 10_000;
const REQUEST = "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n";

/** Serves on a free port of loopback. `text`: the agent's answer to a request for its status. */
async function served(text = '{"services":[]}') {
	using opened = new DisposableStack();
	// The server closes its descriptor.
	const socket = ListeningSocket.tcp(Uint8Array.of(127, 0, 0, 1), 0);
	const asked = Promise.withResolvers<number>();
	const answers = new Answers((line) => asked.resolve(Number(line.split(" ")[1])));
	const streams = new EventStreams(1);
	const nothing = () => ({ connections: 0, streams: 0 });
	const exposition = new Exposition(nothing);
	const routes = new Routes({ answers, streams, events: () => [], exposition, page: new Map() });
	const settings = {
		version: "1",
		sockets: [{ fd: socket.fd, trusted: false }],
		hosts: ["localhost"],
		page: "/",
	};
	const serving = await serve(settings, routes);
	opened.defer(() => streams.close());
	opened.defer(() => serving.close());
	const owned = opened.move();
	const { port } = socket;
	return {
		port,
		/** The number of the first request to the agent. */
		asked: asked.promise,
		connections: serving.connections,
		answer: async () => answers.receive({ kind: "answer", number: await asked.promise, body: text }),
		[Symbol.dispose]: () => owned[Symbol.dispose](),
	};
}

/** A connection, and the data received on it. */
function client(port: number): { readonly socket: Socket; readonly text: () => string } {
	const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
	let text = "";
	socket.setEncoding("latin1");
	socket.on("data", (piece: string) => {
		text += piece;
	});
	socket.on("error", () => {});
	return { socket, text: () => text };
}

describe("the server", () => {
	it("reports a silent agent, and does not close a connection while it waits for the agent", async ({
		mock,
	}) => {
		using server = await served();
		const { socket, text } = client(server.port);
		await once(socket, "connect");
		mock.timers.enable({ apis: ["setTimeout"] });
		socket.write(REQUEST);
		await server.asked;
		mock.timers.tick(PATIENCE_MS);
		mock.timers.reset();
		await waitFor("the answer", () => text().includes("\r\n\r\n"));
		assert.match(text(), /^HTTP\/1\.1 503 /);
		assert.match(text(), /the agent has not answered within 10 seconds/);
		socket.destroy();
	});

	it("closes the connection of a client that does not read its answer", async ({ mock }) => {
		// More than the kernel buffers for both ends.
		using server = await served(JSON.stringify("x".repeat(1 << 24)));
		const { socket } = client(server.port);
		await once(socket, "connect");
		socket.pause();
		mock.timers.enable({ apis: ["setTimeout"] });
		socket.write(REQUEST);
		await server.answer();
		while (socket.bytesRead === 0) await new Promise((resolve) => setImmediate(resolve));
		assert.equal(server.connections(), 1);
		mock.timers.tick(PATIENCE_MS - 1);
		assert.equal(server.connections(), 1);
		mock.timers.tick(1);
		mock.timers.reset();
		await waitFor("the end of the connection", () => server.connections() === 0);
		socket.destroy();
	});

	it("answers a client that has already closed its half of the connection", async () => {
		using server = await served();
		const { socket, text } = client(server.port);
		socket.end(REQUEST);
		const ended = once(socket, "end");
		await server.asked;
		// A later answer to another client arrives after the server has read the end of the first connection.
		const other = client(server.port);
		other.socket.end("GET /other HTTP/1.0\r\nHost: localhost\r\n\r\n");
		await once(other.socket, "end");
		assert.match(other.text(), /^HTTP\/1\.1 404 /);
		await server.answer();
		await ended;
		assert.match(text(), /^HTTP\/1\.1 200 .*\r\n\r\n\{"services":\[\]\}$/s);
		socket.destroy();
		await waitFor("the end of the connection", () => server.connections() === 0);
	});
});
