/**
 * udp and icmp checks: send the real server a datagram with the VIP's DSCP, as a director does. The socket is not
 * connected, so it receives answers from any address.
 */
import { DatagramSocket, SyscallError, watchReadable } from "@l3dsr/linux";
import { addressFromBytes, echoRequestMessage, sameAddress, tosOfDscp } from "@l3dsr/packet";
import type { Check } from "../../model/fleet.ts";
import type { CheckFailure } from "./failure.ts";
import type { CheckTarget } from "./targets.ts";

type DatagramCheck = Extract<Check, { readonly type: "udp" | "icmp" }>;

const HOPS = 64;
/** The payload of an echo request, as long as ping(8)'s. */
const ECHO_DATA = new TextEncoder().encode("l3dsr health check".padEnd(56, "."));

export async function askDatagram(
	target: CheckTarget,
	check: DatagramCheck,
	{ signal }: { readonly signal: AbortSignal },
): Promise<CheckFailure | undefined> {
	const { address, dscp, port } = target;
	let socket: DatagramSocket;
	try {
		socket = new DatagramSocket(check.type, address.bytes, tosOfDscp(dscp), HOPS);
	} catch (error) {
		if (error instanceof SyscallError) return { kind: "unsent", errno: error.errno };
		throw error;
	}
	using own = socket;
	// The kernel fills in an echo request's identifier and checksum.
	const data =
		check.type === "udp"
			? check.send
			: echoRequestMessage(address.family, { id: 0, sequence: 1, data: ECHO_DATA });
	const sent = own.send(data, address.bytes, port ?? 0);
	if (sent < 0) return { kind: "unsent", errno: -sent };
	return await new Promise((resolve) => {
		const look = (isOver: boolean) => {
			const answer = answerIn(own, target, check) ?? (isOver ? TIMEOUT : undefined);
			if (answer === undefined) return;
			clearTimeout(timer);
			signal.removeEventListener("abort", onAbort);
			watcher[Symbol.dispose]();
			resolve(answer === SUCCESS ? undefined : answer);
		};
		const onAbort = () => look(true);
		const timer = setTimeout(() => look(true), check.timeoutMs);
		const watcher = watchReadable(own.fd, () => look(false));
		signal.addEventListener("abort", onAbort, { once: true });
	});
}

const SUCCESS = "success";
const TIMEOUT: CheckFailure = { kind: "timeout", stage: "connect" };

/** The result of the first relevant event; undefined if there is none yet. */
function answerIn(
	socket: DatagramSocket,
	{ vip, address, port }: CheckTarget,
	check: DatagramCheck,
): CheckFailure | typeof SUCCESS | undefined {
	for (let event = socket.take(); event !== undefined; event = socket.take()) {
		const from = addressFromBytes(event.from);
		const isVip = sameAddress(from, vip);
		const isReal = sameAddress(from, address);
		if (event.kind === "icmp-error") {
			if (isVip) return { kind: "refused" };
			if (isReal) return { kind: "answered-by-real", how: "refused" };
			return { kind: "icmp-error", from: from.text, type: event.type, code: event.code };
		}
		// A datagram from another port is not an answer.
		if (check.type === "udp" && event.port !== port) continue;
		if (isReal) return { kind: "answered-by-real", how: check.type === "udp" ? "datagram" : "echo" };
		if (!isVip) return { kind: "answered-by-other", from: from.text };
		const expect = check.type === "udp" ? (check.expect ?? new Uint8Array(0)) : new Uint8Array(0);
		return expect.every((byte, n) => event.data[n] === byte) ? SUCCESS : { kind: "wrong-answer" };
	}
	return undefined;
}
