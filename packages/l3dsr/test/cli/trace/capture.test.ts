/**
 * Compares `l3dsr trace` of a capture with what this kernel does to the same packets, and with tshark's
 * verdict on their checksums: with rules on each datapath, and on both.
 */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { decodeCapture, encodePcap, LINK_TYPE, parsePacket } from "@l3dsr/packet";
import fc from "fast-check";
import { commandPath, start } from "../../../../../test/support/commands.ts";
import { enterNetns, run } from "../../../../../test/support/netns.ts";
import type { Rule } from "../../../src/model/rule.ts";
import { openDatapath } from "../../../src/rewrite/host-datapath.ts";
import { arbitraryPacket } from "../../packets/arbitrary.ts";
import { ethernet, ipv4, ipv6, tcp as tcpSegment, udp as udpDatagram } from "../../packets/build.ts";
import { beforeAndAfter, CATALOGUE, VIP_IPV4, VIP_IPV6 } from "../../packets/catalogue.ts";
import {
	Crossing,
	forwarded,
	IN_INTERFACE,
	leaveChecksumPending,
	SENDER_MAC,
	withIdentity,
} from "../../packets/crossing.ts";
import { assertEquivalentPacket } from "../../packets/diff.ts";
import { limitOf } from "../../packets/nft-limits.ts";
import { daddrRule } from "../../packets/rules.ts";
import { setRules } from "../../rewrite/set-rules.ts";

enterNetns();

/** Some of these are too short to be identified, and are left out. */
const GENERATED = 7000;
const PACKETS = 5000;
const folder = mkdtempSync(join(tmpdir(), "l3dsr-trace-"));
const path = commandPath("l3dsr");
const input = join(folder, "in.pcap");

const onInterface = { inInterface: { name: IN_INTERFACE, wildcard: false, negated: false } };
const tcp = { protocol: { number: 6, negated: false } };
/** With an interface, so that they can run on eBPF; without one, so that they run on nft. */
const FIRST: readonly Rule[] = [1, 2, 7, 46].flatMap((dscp) => [
	daddrRule(`72.30.38.${140 + dscp}`, { dscp, header: onInterface }),
	daddrRule(`fc00:1000:0:6::${10 + dscp}`, { dscp, header: onInterface }),
]);
const SECOND: readonly Rule[] = [
	daddrRule(VIP_IPV4, { dscp: 10, header: { ...onInterface, ...tcp }, dport: 8080 }),
	daddrRule(VIP_IPV6, { dscp: 10, header: { ...onInterface, ...tcp }, clearDscp: true }),
];
const everywhere = ({ header: { inInterface: _, ...header }, ...rule }: Rule): Rule => ({ ...rule, header });

/** Every kind of packet, including broken and random ones. */
function mixedPackets(): Uint8Array[] {
	const random = fc.sample(arbitraryPacket(), { numRuns: GENERATED, seed: 5 }).map(({ bytes }) => bytes);
	return Array.from({ length: GENERATED }, (_, id) => {
		// Each packet of the catalogue with all DSCPs in turn.
		const place = id >> 1;
		const known = CATALOGUE[place % CATALOGUE.length];
		const dscp = [1, 7, 10, 0][Math.floor(place / CATALOGUE.length) % 4] ?? 0;
		const other = random[id] ?? new Uint8Array(0);
		const packet =
			id % 2 === 0 && known !== undefined ? beforeAndAfter(known, { dscp, id: 0 }).before : other;
		return packet.length >= 20 ? withIdentity(packet, id + 1) : packet;
	});
}

const packets = mixedPackets()
	.filter((packet) => packet.length >= 40)
	.slice(0, PACKETS);

/** tshark's verdict on each checksum of each packet: `1` good, `0` bad, others not judged. */
function checksumsByTshark(file: string): string[][] {
	const judge = ["ip", "tcp", "udp"].flatMap((name) => ["-o", `${name}.check_checksum:TRUE`]);
	const fields = ["ip", "tcp", "udp", "dccp", "icmpv6"].map((name) => `${name}.checksum.status`);
	const args = ["-r", file, "-n", ...judge, "-T", "fields", ...fields.flatMap((name) => ["-e", name])];
	const lines = run("tshark", ...args)
		.split("\n")
		.slice(0, -1);
	return lines.map((line) =>
		line.split("\t").flatMap((field, at) => field.split(",").map((one) => `${at}:${one}`)),
	);
}

/** Checksums that tshark calls good in the first file and bad in the second. */
function spoilt(was: readonly string[][], is: readonly string[][]): number {
	assert.equal(is.length, was.length);
	return was.flatMap((verdicts, packet) =>
		verdicts.filter((one, at) => one.endsWith(":1") && is[packet]?.[at]?.endsWith(":0")),
	).length;
}

describe("l3dsr trace of a capture", () => {
	let crossing: Crossing;

	before(async () => {
		crossing = await Crossing.open();
		const frames = packets.map((packet, index) => {
			const bytes = ethernet({ source: SENDER_MAC }, packet);
			return { bytes, lengthBytes: bytes.length, timestampNs: BigInt(index) * 1000n };
		});
		assert.equal(frames.length, PACKETS);
		writeFileSync(input, encodePcap(frames, LINK_TYPE.ethernet));
	});
	after(async () => {
		await crossing[Symbol.asyncDispose]();
		rmSync(folder, { recursive: true });
	});

	const setups = {
		ebpf: { rules: [...FIRST, ...SECOND], datapath: "ebpf" },
		nft: { rules: [...FIRST, ...SECOND], datapath: "nft" },
		both: { rules: [...FIRST, ...SECOND.map(everywhere)], datapath: "auto" },
	} as const;
	for (const [name, { rules, datapath: preference }] of Object.entries(setups)) {
		const datapath = openDatapath({ datapath: preference });
		const output = join(folder, `${name}.pcap`);

		it(`with rules on ${name}, writes the same packets as the kernel, and counts nothing`, async () => {
			const entries = rules.map((rule, index) => ({ rule, ordinal: index + 1 }));
			await setRules(datapath, { entries });
			const datapaths = new Set((await datapath.observe()).rules.map((one) => one.datapath));
			assert.deepEqual([...datapaths].sort(), name === "both" ? ["ebpf", "nft"] : [name]);
			const counted = (await datapath.observe()).rules.map(({ counters }) => counters);
			const { exitCode, stdout, stderr } = await start(
				path,
				"trace",
				input,
				"-i",
				IN_INTERFACE,
				"-w",
				output,
				"--json",
			).outcome;
			assert.equal(stderr, "");
			const moved = (await datapath.observe()).rules.map(({ counters }) => counters);
			assert.deepEqual(moved, counted, "live counters moved");

			const lines = stdout
				.trimEnd()
				.split("\n")
				.map((line) => JSON.parse(line));
			const { summary } = lines.pop();
			assert.deepEqual(
				summary.kernel.map((one: { datapath: string }) => one.datapath),
				[...datapaths].sort(),
			);
			let limits = 0;
			for (const [index, { kernel }] of lines.entries()) {
				for (const { datapath: which, answer, bytes } of kernel) {
					if (answer !== "different") continue;
					const packet = packets[index] ?? new Uint8Array();
					const parsed = parsePacket(packet, Number.POSITIVE_INFINITY);
					assert.ok(typeof parsed !== "string");
					assert.ok(
						which === "nft" && limitOf(packet, parsed, true) !== undefined,
						`packet ${index + 1}: ${bytes}`,
					);
					limits++;
				}
			}
			for (const { datapath: which, same, different, exact, countersDiffer } of summary.kernel) {
				assert.ok(same > PACKETS / 2, which);
				assert.deepEqual(
					[exact, countersDiffer, different],
					[true, which === "nft" && limits > 0 && countersDiffer, which === "nft" ? limits : 0],
				);
			}
			assert.equal(limits > 0, name !== "ebpf", "the capture has packets of nft's limits");
			assert.equal(exitCode, limits > 0 ? 1 : 0);
			assert.equal(summary.rewritten, lines.filter((line) => line.rewritten === true).length);

			const written = decodeCapture(readFileSync(output), output).packets;
			assert.equal(written.length, packets.length);
			const arrived = await crossing.send(packets);
			let compared = 0;
			written.forEach(({ bytes }, index) => {
				const came = arrived[index];
				if (came === undefined) return;
				assertEquivalentPacket(came, forwarded(bytes.subarray(14)), `packet ${index + 1}`);
				compared++;
			});
			assert.ok(compared > PACKETS / 2, `only ${compared} came out`);
		});
	}

	it("writes no checksum that tshark calls bad and that was good before", () => {
		const before = checksumsByTshark(input);
		const good = before.flat().filter((one) => one.endsWith(":1")).length;
		const bad = before.flat().filter((one) => one.endsWith(":0")).length;
		assert.ok(good > PACKETS / 2 && bad > 0, `${good} good, ${bad} bad`);
		assert.equal(spoilt(before, checksumsByTshark(join(folder, "ebpf.pcap"))), 0);

		// This test would fail: the address of one packet is changed without its checksums.
		const [frame, ...others] = decodeCapture(readFileSync(input), input).packets;
		assert.ok(frame !== undefined);
		const bytes = Uint8Array.from(frame.bytes);
		bytes[14 + 19] = (bytes[14 + 19] ?? 0) ^ 1;
		const broken = join(folder, "broken.pcap");
		writeFileSync(broken, encodePcap([{ ...frame, bytes }, ...others], LINK_TYPE.ethernet));
		assert.ok(spoilt(before, checksumsByTshark(broken)) > 0);
	});

	it("completes checksums that were left to the interface, and writes the resulting packets", async () => {
		const whole = [1, 7, 10, 5].flatMap((dscp, index) => [
			ipv4({ dscp, id: 2 * index + 1 }, tcpSegment({ destinationPort: 80 })),
			ipv6({ dscp, flowLabel: 2 * index + 2 }, udpDatagram({ data: "odd" })),
		]);
		const pending = whole.map((packet) => leaveChecksumPending(packet)?.packet ?? packet);
		const file = join(folder, "pending.pcap");
		const frames = pending.map((packet) => {
			const bytes = ethernet({ source: SENDER_MAC }, packet);
			return { bytes, lengthBytes: bytes.length, timestampNs: 0n };
		});
		writeFileSync(file, encodePcap(frames, LINK_TYPE.ethernet));
		const output = join(folder, "completed.pcap");
		const { exitCode, stdout } = await start(path, "trace", file, "-i", IN_INTERFACE, "-w", output).outcome;
		assert.equal(exitCode, 0);
		assert.match(stdout, /^checksums left to the interface: 8, completed for the trace$/m);
		assert.match(stdout, /^bad checksums: 0 before, 0 after, 0 that were good before$/m);
		const arrived = await crossing.send(whole, { pendingChecksums: true });
		const written = decodeCapture(readFileSync(output), output).packets;
		written.forEach(({ bytes }, index) => {
			assertEquivalentPacket(
				arrived[index] ?? new Uint8Array(),
				forwarded(bytes.subarray(14)),
				`packet ${index + 1}`,
			);
		});
		assert.deepEqual(
			checksumsByTshark(output).filter((verdicts) => verdicts.some((one) => one.endsWith(":0"))),
			[],
		);
	});

	it("reads the capture from stdin, and prints a line for each packet and a summary", async () => {
		const shell = start("/bin/sh", "-c", `"$0" trace - -i ${IN_INTERFACE} < ${input}`, path);
		const { stdout } = await shell.outcome;
		assert.match(stdout, new RegExp(`^${packets.length} packets: \\d+ rewritten, `, "m"));
		assert.match(stdout, /^bad checksums: \d+ before, \d+ after, \d+ that were good before$/m);
		assert.match(
			stdout,
			/^running program: a copy of it produces the same for \d+ packets, something else for 0$/m,
		);
		assert.match(
			stdout,
			/^running nft rules: a copy of them produces the same for \d+ packets, something else for \d+; \d+ could not be asked \(\d+: the stack drops it before nft\)$/m,
		);
		assert.match(stdout, /^\d+ .*; the running nft rules make ANOTHER packet of it$/m);
	});
});
