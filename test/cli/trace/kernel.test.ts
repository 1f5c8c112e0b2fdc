/** `l3dsr trace` against what this kernel does to the same packets, and what it leaves alone while it asks. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { interfaceByName, Program, tcxIngress } from "../../../src/bpf/index.ts";
import { compileProgram } from "../../../src/datapath/ebpf/compile.ts";
import type { CompileTarget } from "../../../src/datapath/ebpf/hook.ts";
import { FIRST_RULE_SLOT } from "../../../src/datapath/ebpf/interface-rules.ts";
import { openDatapath } from "../../../src/datapath/host-datapath.ts";
import { parsePacket } from "../../../src/datapath/reference.ts";
import { verifyChecksums } from "../../../src/datapath/trace/checksums.ts";
import type { Rule } from "../../../src/model/rule.ts";
import { decodeCapture } from "../../../src/syntax/pcap/capture.ts";
import { LINK_TYPE } from "../../../src/syntax/pcap/link-layer.ts";
import { encodePcap } from "../../../src/syntax/pcap/pcap.ts";
import { commandPath, start } from "../../commands.ts";
import { enterNetns, ip } from "../../netns.ts";
import { arbitraryPacket } from "../../packets/arbitrary.ts";
import { ethernet } from "../../packets/build.ts";
import { beforeAndAfter, CATALOGUE, REAL_IPV4, VIP_IPV4, VIP_IPV6 } from "../../packets/catalogue.ts";
import {
	Crossing,
	forwarded,
	IN_INTERFACE,
	OUT_INTERFACE,
	SENDER_MAC,
	withIdentity,
} from "../../packets/crossing.ts";
import { assertEquivalentPacket } from "../../packets/diff.ts";
import { daddrRule } from "../../packets/rules.ts";

enterNetns();

/** Of which some are shorter than the header that tells them apart, and left out. */
const GENERATED = 7000;
const PACKETS = 5000;
const folder = mkdtempSync(join(tmpdir(), "l3dsr-trace-"));
const path = commandPath("l3dsr");

const header = { inInterface: { name: IN_INTERFACE, wildcard: false, negated: false } };
const tcp = { protocol: { number: 6, negated: false } };
const RULES: readonly Rule[] = [
	...[1, 2, 7, 46].flatMap((dscp) => [
		daddrRule(`72.30.38.${140 + dscp}`, { dscp, header }),
		daddrRule(`fc00:1000:0:6::${10 + dscp}`, { dscp, header }),
	]),
	daddrRule(VIP_IPV4, { dscp: 10, header: { ...header, ...tcp }, dport: 8080 }),
	daddrRule(VIP_IPV6, { dscp: 10, header: { ...header, ...tcp }, clearDscp: true }),
];

/** Every kind of packet, broken ones too, and random ones. */
function mixedPackets(): Uint8Array[] {
	const random = fc.sample(arbitraryPacket(), { numRuns: GENERATED, seed: 5 }).map(({ bytes }) => bytes);
	return Array.from({ length: GENERATED }, (_, id) => {
		const known = CATALOGUE[id % CATALOGUE.length];
		const other = random[id] ?? new Uint8Array(0);
		const packet =
			id % 2 === 0 && known !== undefined
				? beforeAndAfter(known, { dscp: [1, 7, 10, 0][(id >> 1) % 4] ?? 0, id: 0 }).before
				: other;
		return packet.length >= 20 ? withIdentity(packet, id + 1) : packet;
	});
}

async function trace(...args: string[]) {
	return await start(path, "trace", ...args).outcome;
}

describe("l3dsr trace, of a capture", () => {
	let crossing: Crossing;
	const datapath = openDatapath({ env: process.env, datapath: "ebpf" });
	const packets = mixedPackets()
		.filter((packet) => packet.length >= 40)
		.slice(0, PACKETS);
	const file = join(folder, "in.pcap");

	before(async () => {
		crossing = await Crossing.open();
		const entries = RULES.map((rule, index) => ({ rule, ordinal: index + 1 }));
		await datapath.apply({ entries }, await datapath.observe());
		const frames = packets.map((packet, index) => {
			const bytes = ethernet({ source: SENDER_MAC }, packet);
			return { bytes, lengthBytes: bytes.length, timestampNs: BigInt(index) * 1000n };
		});
		writeFileSync(file, encodePcap(frames, LINK_TYPE.ethernet));
	});
	after(async () => {
		await crossing[Symbol.asyncDispose]();
		rmSync(folder, { recursive: true });
	});

	it("writes in under two seconds, packet for packet, what the kernel makes of it, and counts nothing", async () => {
		const output = join(folder, "out.pcap");
		const counted = (await datapath.observe()).rules.map(({ counters }) => counters);
		const run = async () => {
			const startedMs = performance.now();
			const outcome = await trace(file, "-i", IN_INTERFACE, "-w", output);
			return { ...outcome, elapsedMs: performance.now() - startedMs };
		};
		const { exitCode, stdout, stderr, ...first } = await run();
		// Once more where the machine was busy with something else.
		const elapsedMs = first.elapsedMs < 2000 ? first.elapsedMs : (await run()).elapsedMs;
		assert.equal(exitCode, 0, stderr + stdout.slice(-2000));
		assert.equal(packets.length, PACKETS);
		assert.deepEqual(
			(await datapath.observe()).rules.map(({ counters }) => counters),
			counted,
			"live counters moved",
		);
		assert.match(stdout, new RegExp(`^${packets.length} packets: \\d+ rewritten, `, "m"));
		assert.match(stdout, /^bad checksums: \d+ before, \d+ after, 0 that were good before$/m);
		assert.match(stdout, /^running program: a copy of it makes the same of \d+ packets, another of 0$/m);

		const written = decodeCapture(readFileSync(output), output).packets;
		assert.equal(written.length, packets.length);
		const arrived = await crossing.send(packets);
		let compared = 0;
		let broken = 0;
		written.forEach(({ bytes }, index) => {
			const [packet, came] = [bytes.subarray(14), arrived[index]];
			const was = parsePacket(packets[index] ?? new Uint8Array(0));
			const is = parsePacket(packet);
			if (typeof was !== "string" && typeof is !== "string") {
				const verdict = (of: Uint8Array, parsed: typeof was) =>
					verifyChecksums(of, parsed, true).transport?.verdict;
				if (verdict(packets[index] ?? packet, was) === "good" && verdict(packet, is) === "bad") broken++;
			}
			if (came === undefined) return;
			assertEquivalentPacket(came, forwarded(packet), `packet ${index + 1}`);
			compared++;
		});
		assert.equal(broken, 0);
		assert.ok(compared > PACKETS / 2, `only ${compared} came out`);
		assert.ok(elapsedMs < 2000, `took ${Math.round(elapsedMs)} ms`);
	});

	it("takes the capture from stdin, and gives a line of JSON for each packet and one for the whole", async () => {
		const shell = start("/bin/sh", "-c", `"$0" trace - -i ${IN_INTERFACE} --json < ${file}`, path);
		const { exitCode, stdout } = await shell.outcome;
		assert.equal(exitCode, 0);
		const lines = stdout
			.trimEnd()
			.split("\n")
			.map((line) => JSON.parse(line));
		assert.equal(lines.length, packets.length + 1);
		const { summary } = lines.at(-1);
		const rewritten = lines.filter((line) => line.rewritten === true).length;
		assert.equal(summary.rewritten, rewritten);
		assert.equal(summary.kernel.different, 0);
		assert.ok(summary.kernel.same > PACKETS / 2);
	});

	it("tells of one packet which rule matches, what it changes, and that the running program agrees", async () => {
		ip(`address add ${REAL_IPV4}/32 dev lo`);
		const { exitCode, stdout, stderr } = await trace(
			...["--from", "203.0.113.9", "--to", REAL_IPV4, "--dscp", "7", "--tcp", "80", "-i", IN_INTERFACE],
		);
		assert.equal(exitCode, 0, stderr);
		assert.match(stdout, /^203\.0\.113\.9 → 192\.0\.2\.10, DSCP 7 \(TOS 0x1c\), tcp 40000 → 80, 40 bytes$/m);
		assert.match(stdout, /^ebpf, tcx ingress of in0: 5 rules of its family$/m);
		assert.match(
			stdout,
			/^ {2}matches {2}-A PREROUTING -i in0 -m dscp --dscp 0x07 -j DADDR --set-daddr 72\.30\.38\.147$/m,
		);
		assert.match(stdout, /^\* {2}IPv4 +destination +192\.0\.2\.10 +72\.30\.38\.147$/m);
		assert.match(stdout, /^transport checksum: good before, good after$/m);
		assert.match(
			stdout,
			/^running program: a copy of program \d+ at tcx ingress of in0 makes the same of it$/m,
		);
		assert.match(stdout, /72\.30\.38\.147, which is no address of this host: it is forwarded or dropped/);
	});

	it("says so, and fails, when the running program is not what its rules say", async () => {
		const target: CompileTarget = { hook: "tc", linkHeaderBytes: 14, ipv6ChecksumFlag: false };
		const compile = (...rules: readonly Rule[]) => {
			const slotted = rules.map((rule, index) => ({ rule, ordinal: index, slot: FIRST_RULE_SLOT + index }));
			return compileProgram({ rules: slotted, local: [] }, target, 256);
		};
		const on = interfaceByName(OUT_INTERFACE);
		const asked = ["--from", "203.0.113.9", "--to", REAL_IPV4, "--dscp", "7", "-i", OUT_INTERFACE];

		// The instructions of one ruleset with the stored rules of another.
		const here = { inInterface: { ...header.inInterface, name: OUT_INTERFACE } };
		const rule = daddrRule("192.0.2.77", { dscp: 7, header: here });
		const more = daddrRule("192.0.2.78", { dscp: 8, header: here, dport: 8080 });
		using other = Program.load({ ...compile(rule, more), maps: compile(rule).maps });
		tcxIngress.attach(on, other);
		const inexact = await trace(...asked);
		assert.match(
			inexact.stdout,
			/^running program: .* makes the same of it, but the running .* OTHER INSTRUCTIONS/m,
		);
		assert.equal(inexact.exitCode, 1);
		for (const one of tcxIngress.query(on)) tcxIngress.detach(on, one);

		// A program on an interface that its rule does not name: it does not look at the name.
		using misplaced = Program.load(compile(daddrRule("192.0.2.77", { dscp: 7, header })));
		tcxIngress.attach(on, misplaced);
		const different = await trace(...asked);
		assert.match(
			different.stdout,
			/^running program: a copy of program \d+ .* makes ANOTHER packet of it: 451c/m,
		);
		assert.equal(different.exitCode, 1);
		for (const one of tcxIngress.query(on)) tcxIngress.detach(on, one);
	});

	it("names the TOS byte that was taken for the DSCP", async () => {
		const { stdout } = await trace(
			...["--from", "203.0.113.9", "--to", REAL_IPV4, "--dscp", "28", "--tcp", "80", "-i", IN_INTERFACE],
		);
		assert.match(stdout, /28 is the TOS byte of DSCP 7: the sender may have been given the TOS byte/);
		assert.match(stdout, /result: no rule matches: it goes up the stack as it is/);
	});
});
