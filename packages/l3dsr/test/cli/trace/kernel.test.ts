/**
 * Compares `l3dsr trace` with what this kernel does to the same packets, and checks that it changes nothing.
 */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { before, describe, it } from "node:test";
import { Program, tcxIngress } from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { decodeCapture } from "@l3dsr/packet";
import { commandPath, start } from "../../../../../test/support/commands.ts";
import { enterNetns, ip, run } from "../../../../../test/support/netns.ts";
import type { Rule } from "../../../src/model/rule.ts";
import { hostPrefix } from "../../../src/model/selection.ts";
import { compileProgram } from "../../../src/rewrite/ebpf/compile/compile.ts";
import { FIRST_RULE_SLOT } from "../../../src/rewrite/ebpf/compile/interface-rules.ts";
import type { CompileTarget } from "../../../src/rewrite/ebpf/compile/target.ts";
import { openDatapath } from "../../../src/rewrite/host-datapath.ts";
import { REAL_IPV4, VIP_IPV4, VIP_IPV6 } from "../../packets/catalogue.ts";
import { IN_INTERFACE, OUT_INTERFACE } from "../../packets/crossing.ts";
import { daddrRule } from "../../packets/rules.ts";
import { setRules } from "../../rewrite/set-rules.ts";

enterNetns();

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

async function trace(...args: string[]) {
	return await start(path, "trace", ...args).outcome;
}

const asking = ["--from", "203.0.113.9", "--to", REAL_IPV4];

describe("l3dsr trace of a packet", () => {
	const datapath = openDatapath({ datapath: "ebpf" });

	before(async () => {
		for (const name of [IN_INTERFACE, OUT_INTERFACE]) {
			ip(`link add ${name} type veth peer name peer-${name}`);
			for (const end of [name, `peer-${name}`]) ip(`link set ${end} up`);
		}
		const entries = RULES.map((rule, index) => ({ rule, ordinal: index + 1 }));
		await setRules(datapath, { entries });
	});

	it("shows which rule matches, what it changes, and that the running program agrees", async () => {
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
			/^running program: a copy of program \d+ at tcx ingress of in0 produces the same packet$/m,
		);
		assert.match(stdout, /72\.30\.38\.147, which is not an address of this host: it is forwarded or dropped/);
	});

	it("reports, and fails, if the running program differs from its rules", async () => {
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
			/^running program: .* produces the same packet, but the running .* DIFFERENT INSTRUCTIONS/m,
		);
		assert.equal(inexact.exitCode, 1);
		for (const one of tcxIngress.query(on)) tcxIngress.detach(on, one);

		// A program on an interface that its rule does not name: it does not check the name.
		using misplaced = Program.load(compile(daddrRule("192.0.2.77", { dscp: 7, header })));
		tcxIngress.attach(on, misplaced);
		const different = await trace(...asked);
		assert.match(
			different.stdout,
			/^running program: a copy of program \d+ .* produces a DIFFERENT packet: 451c/m,
		);
		assert.equal(different.exitCode, 1);
		for (const one of tcxIngress.query(on)) tcxIngress.detach(on, one);
	});

	it("recognises a TOS byte in place of the DSCP", async () => {
		const { stdout } = await trace(
			...["--from", "203.0.113.9", "--to", REAL_IPV4, "--dscp", "28", "--tcp", "80", "-i", IN_INTERFACE],
		);
		assert.match(stdout, /28 is the TOS byte of DSCP 7: the sender may use the TOS byte/);
		assert.match(stdout, /result: no rule matches: it goes up the stack unchanged/);
	});
});

describe("l3dsr trace of a packet that meets rules on nft", () => {
	const nft = openDatapath({ datapath: "nft" });
	const install = async (...rules: readonly Rule[]) =>
		await setRules(nft, { entries: rules.map((rule, ordinal) => ({ rule, ordinal })) });

	it("runs a copy of the rules, chain by chain, and counts nothing", async () => {
		await install(
			daddrRule("192.0.2.20", { dscp: 3 }),
			daddrRule(REAL_IPV4, {
				table: "mangle",
				chain: "INPUT",
				matches: [{ kind: "mark", value: 7, mask: 0xffffffff, negated: false }],
			}),
		);
		ip("address add 192.0.2.20/32 dev lo");
		const { exitCode, stdout, stderr } = await trace(
			...asking,
			"--dscp",
			"3",
			"--mark",
			"7",
			"-i",
			OUT_INTERFACE,
		);
		assert.equal(exitCode, 0, stderr + stdout);
		assert.match(
			stdout,
			/^nft, raw PREROUTING: 1 rule of its family\n {2}matches {2}-A PREROUTING -m dscp --dscp 0x03 /m,
		);
		assert.match(
			stdout,
			/^nft, mangle INPUT: 1 rule of its family\n {2}matches {2}-A INPUT -m mark --mark 0x7 /m,
		);
		assert.match(
			stdout,
			/^running nft rules: a copy of them, of raw PREROUTING, mangle INPUT, in a network namespace of its own produces the same packet$/m,
		);
		assert.deepEqual(
			(await nft.observe()).rules.map(({ counters }) => counters.packets),
			[0n, 0n],
		);
	});

	it("reports in red, and fails, if what runs differs from the rules", async () => {
		await install(daddrRule("192.0.2.20", { dscp: 3 }));
		run("nft", "add rule ip l3dsr raw_PREROUTING ip dscp 3 ip daddr set 192.0.2.66");
		const { exitCode, stdout } = await trace(...asking, "--dscp", "3", "-i", OUT_INTERFACE);
		assert.match(
			stdout,
			/^note: table ip l3dsr, chain raw_PREROUTING, handle \d+: was not written by this version of l3dsr$/m,
		);
		assert.match(stdout, /^running nft rules: .* produces a DIFFERENT packet: 450c[0-9a-f]{28}c0000242/m);
		assert.equal(exitCode, 1);

		// For one packet, the counters show which rules matched.
		await install();
		await install(daddrRule("192.0.2.20", { dscp: 3, matches: [{ kind: "ecn", ect: 2, negated: true }] }));
		run("nft", `insert rule ip l3dsr raw_PREROUTING ip dscp 3 ip daddr set 192.0.2.20 return`);
		const other = await trace(...asking, "--dscp", "3", "-i", OUT_INTERFACE);
		assert.match(other.stdout, /^running nft rules: .* DISAGREES \(different rules count it there\)$/m);
		assert.equal(other.exitCode, 1);
		await install();
	});

	it("applies the program in front of nft first, and writes the final packet", async () => {
		await install(
			daddrRule("192.0.2.88", {
				header: { destination: { prefix: hostPrefix(daddrRule("192.0.2.77").target.daddr), negated: false } },
			}),
		);
		const on = interfaceByName(OUT_INTERFACE);
		const target: CompileTarget = { hook: "tc", linkHeaderBytes: 14, ipv6ChecksumFlag: false };
		// Its rule names another interface, which the program does not check: the reference says that it does
		// not match.
		const elsewhere = {
			rule: daddrRule("192.0.2.77", { dscp: 7, header }),
			ordinal: 0,
			slot: FIRST_RULE_SLOT,
		};
		using program = Program.load(compileProgram({ rules: [elsewhere], local: [] }, target, 256));
		tcxIngress.attach(on, program);
		const output = join(mkdtempSync(join(tmpdir(), "l3dsr-trace-")), "out.pcap");
		const { exitCode, stdout } = await trace(...asking, "--dscp", "7", "-i", OUT_INTERFACE, "-w", output);
		for (const one of tcxIngress.query(on)) tcxIngress.detach(on, one);
		const [written] = decodeCapture(readFileSync(output), output).packets;
		rmSync(dirname(output), { recursive: true });
		assert.equal(exitCode, 1);
		assert.match(stdout, /^running program: .* produces a DIFFERENT packet: 451c[0-9a-f]{28}c000024d/m);
		assert.match(stdout, /^running nft rules: .* produces the same packet$/m);
		assert.equal(written?.bytes.subarray(16, 20).join("."), "192.0.2.88");
	});

	it("reports that the stack drops a packet with a wrong header checksum", async () => {
		await install(daddrRule("192.0.2.20", { dscp: 3 }));
		const hex = "450c001400000000 40ff0001 cb007109 c000020a";
		const { exitCode, stdout } = await trace("--hex", hex, "-i", OUT_INTERFACE);
		assert.equal(exitCode, 0);
		assert.match(stdout, /^running nft rules: could not be asked: the stack drops it before nft$/m);
		assert.match(stdout, /^result: its IPv4 header checksum is wrong: the stack drops it$/m);
	});

	it("uses only the reference if a namespace cannot be created", async () => {
		await install(daddrRule("192.0.2.20", { dscp: 3 }));
		for (const name of [IN_INTERFACE, OUT_INTERFACE]) {
			const on = interfaceByName(name);
			for (const one of tcxIngress.query(on)) tcxIngress.detach(on, one);
		}
		const without = ["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"];
		const { exitCode, stdout, stderr } = await start(
			"/usr/bin/setpriv",
			...without,
			path,
			"trace",
			...asking,
			"--dscp",
			"3",
		).outcome;
		assert.equal(exitCode, 0, stderr);
		assert.match(stdout, /^running nft rules: could not be asked: make a network namespace: EPERM/m);
		assert.match(stdout, /^\* {2}IPv4 +destination +192\.0\.2\.10 +192\.0\.2\.20$/m);
	});
});
