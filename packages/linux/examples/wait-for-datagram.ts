/**
 * Sends itself a UDP datagram and waits for the answer in the event loop: with marked packets (here DSCP 7)
 * and a time limit, and without blocking a thread.
 *
 *     node wait-for-datagram.ts
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { DatagramSocket, untilReadable } from "@l3dsr/linux";

const DSCP_7_AS_TOS = 7 << 2;
const TTL = 64;
const LOOPBACK = [127, 0, 0, 1];

const server = createSocket("udp4", (message, from) => server.send(message, from.port, from.address));
server.bind(0, "127.0.0.1");
await once(server, "listening");

using asker = new DatagramSocket("udp", LOOPBACK, DSCP_7_AS_TOS, TTL);
asker.send(new TextEncoder().encode("hello"), LOOPBACK, server.address().port);
const hasAnswer = await untilReadable([asker.fd], { timeoutMs: 5000 });
const event = hasAnswer ? asker.take() : undefined;
console.log(event === undefined ? "no answer" : `${event.kind} from ${event.from.join(".")}`);
server.close();
