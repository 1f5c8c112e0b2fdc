import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { PacketSocket } from "@l3dsr/linux";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns, ip, waitFor } from "../../../../test/support/netns.ts";
import type { ProbeTarget } from "../../src/model/probe-target.ts";
import { judgeAnswer } from "../../src/probe/answer.ts";
import { PlainProber } from "../../src/probe/plain-prober.ts";
import { Prober } from "../../src/probe/prober.ts";
import { ABSENT, REAL, type Server, startServer, target, VIPS } from "./stage.ts";

enterNetns();
failOnLeaks();

let server: Server;
before(async () => {
	server = await startServer();
	writeFileSync("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
	// VIPs are reached through the server, so it would see a reset from our own kernel.
	ip(`route add default via ${REAL.ipv4}`);
	ip(`-6 route add default via ${REAL.ipv6}`);
});
after(() => server?.[Symbol.dispose]());

/** For probes that are answered: long enough for a busy machine. */
const options = { timeoutMs: 5000 };
const brief = { timeoutMs: 400 };
const asking = (...targets: readonly ProbeTarget[]) => targets.map((one) => ({ target: one }));

/** One letter for each TCP packet that left this host: S for SYN, R for a reset, and its destination. */
function sent(capture: PacketSocket): string[] {
	const packets: string[] = [];
	for (let frame = capture.receive(100); frame !== undefined; frame = capture.receive()) {
		const packet = Buffer.from(frame.bytes.subarray(14));
		if (frame.packetType !== "outgoing" || frame.etherType !== 0x0800 || packet[9] !== 6) continue;
		const flags = packet[33] ?? 0;
		const letters = `${flags & 2 ? "S" : ""}${flags & 4 ? "R" : ""}${flags & 16 ? "." : ""}`;
		packets.push(`${letters} ${packet.subarray(16, 20).join(".")} tos ${packet[1]}`);
	}
	return packets;
}

/** The sequence number of each SYN that left this host; no two probes have the same. */
function sequencesOfSyns(capture: PacketSocket): number[] {
	const sequences: number[] = [];
	for (let frame = capture.receive(100); frame !== undefined; frame = capture.receive()) {
		const packet = Buffer.from(frame.bytes.subarray(14));
		const [header, protocol] = frame.etherType === 0x0800 ? [20, packet[9]] : [40, packet[6]];
		if (frame.packetType !== "outgoing" || protocol !== 6 || packet[header + 13] !== 2) continue;
		sequences.push(packet.readUInt32BE(header + 4));
	}
	return sequences;
}

describe("a probe by ordinary sockets", () => {
	for (const family of ["ipv4", "ipv6"] as const) {
		const real = REAL[family];
		const [first, second] = VIPS[family];
		for (const protocol of ["udp", "icmp"] as const) {
			it(`finds by ${protocol} over ${family} which address answers under which code`, async () => {
				using prober = new PlainProber();
				const targets = [1, 2, 9].map((code) => target(real, code, protocol, undefined, first));
				const answers = await prober.ask(asking(...targets), options);
				assert.deepEqual(
					answers.map((answer) => "from" in answer && answer.from.text),
					[first, second, real],
				);
				if (protocol === "icmp") assert.equal(answers[2]?.kind === "accepted" && answers[2].dscp, 9);
			});
		}
		it(`finds over ${family} which address refuses`, async () => {
			using prober = new PlainProber();
			const answers = await prober.ask(
				asking(target(real, 1, "udp", 81), target(real, 9, "udp", 81)),
				options,
			);
			assert.deepEqual(
				answers.map((answer) => [answer.kind, "from" in answer && answer.from.text]),
				[
					["refused", first],
					["refused", real],
				],
			);
		});
	}

	it("gives up after its time limit, and cannot use TCP", async () => {
		using prober = new PlainProber();
		const answers = await prober.ask(asking(target(REAL.ipv4, 3, "udp"), target(REAL.ipv4, 1)), brief);
		assert.deepEqual(answers, [{ kind: "none" }, { kind: "unsent", errno: 1 }]);
	});
});

describe("a probe", () => {
	for (const family of ["ipv4", "ipv6"] as const) {
		const real = REAL[family];
		const [first, second] = VIPS[family];
		for (const protocol of ["tcp", "udp", "icmp"] as const) {
			it(`finds by ${protocol} over ${family} which address answers under which code`, async () => {
				using prober = new Prober();
				const targets = [1, 2, 9].map((code) => target(real, code, protocol, undefined, first));
				const answers = await prober.ask(asking(...targets), options);
				assert.deepEqual(
					answers.map((answer) => "from" in answer && answer.from.text),
					[first, second, real],
				);
				assert.deepEqual(
					targets.map((one, index) => judgeAnswer(one, answers[index] ?? { kind: "none" })),
					["vip", "other-address", "real-address"],
				);
			});
		}
		it(`finds over ${family} which address refuses`, async () => {
			using prober = new Prober();
			const targets = [target(real, 1, "tcp", 81), target(real, 1, "udp", 81), target(real, 9, "tcp", 81)];
			const answers = await prober.ask(asking(...targets), options);
			assert.deepEqual(
				answers.map((answer) => [answer.kind, "from" in answer && answer.from.text]),
				[
					["refused", first],
					["refused", first],
					["refused", real],
				],
			);
		});
	}

	it("reads the code in an echo reply, and in the packet that an ICMP error quotes", async () => {
		using prober = new Prober();
		const [reply, refusal] = await prober.ask(
			asking(target(REAL.ipv4, 9, "icmp"), target(REAL.ipv4, 9, "udp", 81)),
			options,
		);
		assert.equal(reply?.kind === "accepted" && reply.dscp, 9);
		assert.equal(refusal?.kind === "refused" && refusal.dscp, 9);
	});

	it("waits no longer than its limit, and sends one more packet in between", async () => {
		using prober = new Prober();
		using capture = new PacketSocket({ interfaceName: "v0" });
		const began = performance.now();
		const [answer] = await prober.ask(asking(target(REAL.ipv4, 3, "tcp", 80, ABSENT)), brief);
		assert.deepEqual(answer, { kind: "none" });
		assert.ok(performance.now() - began >= brief.timeoutMs, "it gave up too early");
		assert.deepEqual(sent(capture), ["S 10.9.0.2 tos 12", "S 10.9.0.2 tos 12"]);
	});

	it("explains why this host could not send", async () => {
		using prober = new Prober();
		ip("route add unreachable 198.51.100.0/24");
		const [answer] = await prober.ask(asking(target("198.51.100.7", 1)), options);
		assert.deepEqual(answer, { kind: "unsent", errno: 113 });
	});

	it("ends each handshake with one reset on the same path, and its own kernel sends none", async () => {
		using prober = new Prober();
		using capture = new PacketSocket({ interfaceName: "v0" });
		await prober.ask(asking(target(REAL.ipv4, 1), target(REAL.ipv4, 9)), options);
		assert.deepEqual(sent(capture).sort(), [
			"R 10.9.0.2 tos 36",
			"R 10.9.0.2 tos 4",
			"S 10.9.0.2 tos 36",
			"S 10.9.0.2 tos 4",
		]);
	});

	it("is exact for a thousand at once, probes none more than twice, and leaves no connection behind", async () => {
		using prober = new Prober();
		using capture = new PacketSocket({ interfaceName: "v0", receiveBufferBytes: 32 << 20 });
		const expected: string[] = [];
		const targets = Array.from({ length: 1000 }, (_, index) => {
			const family = index % 2 === 0 ? "ipv4" : "ipv6";
			const code = 1 + (index % 3);
			expected.push(
				code === 3 && family === "ipv6" ? REAL.ipv6 : code === 3 ? "none" : (VIPS[family][code - 1] ?? ""),
			);
			return target(REAL[family], code);
		});
		const answers = await prober.ask(asking(...targets), { timeoutMs: 3000 });
		assert.deepEqual(
			answers.map((answer) => ("from" in answer ? answer.from.text : answer.kind)),
			expected,
		);
		const asked = new Map<number, number>();
		for (const sequence of sequencesOfSyns(capture)) asked.set(sequence, (asked.get(sequence) ?? 0) + 1);
		assert.equal(capture.takeDropped(), 0);
		assert.equal(asked.size, targets.length);
		assert.ok([...asked.values()].every((times) => times <= 2));
		await waitFor(
			"end of every connection",
			() => server.host.run("ss", "-Htan", "state", "connected") === "",
		);
		assert.ok(!server.printed().includes("connection"), "a connection was accepted");
	});
});
