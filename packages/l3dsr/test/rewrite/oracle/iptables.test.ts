/**
 * Compares the oracle's matches with the kernel's: random packets and rules run through ip_tables, and every
 * rule must count the same packets and bytes.
 */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { addressFromBytes, type Family, PROTOCOL_NUMBER, parsePacket, prefixOf } from "@l3dsr/packet";
import fc from "fast-check";
import { enterNetns, ip, run } from "../../../../../test/support/netns.ts";
import type { Rule } from "../../../src/model/rule.ts";
import { type PacketContext, rewriteByRules } from "../../../src/rewrite/oracle/oracle.ts";
import { formatRuleSpec } from "../../../src/syntax/iptables/rule-format.ts";
import { arbitraryMatchingRule, arbitraryPacket, VOCABULARY } from "../../packets/arbitrary.ts";
import { addressBytes } from "../../packets/build.ts";
import { Crossing, IN_INTERFACE, SENDER_MAC_BYTES, withIdentity } from "../../packets/crossing.ts";
import { describePacket } from "../../packets/diff.ts";

enterNetns();

const RULES = 100;
const PACKETS = 1000;
/** Different in every run; a failure names it. */
const seed = Number(process.env["L3DSR_TEST_SEED"] ?? Date.now() % 0x7fffffff);

/**
 * Packets that xt_* modules drop at once ("hotdrop"), so later rules never see them: a truncated transport
 * header, a TCP fragment at offset 8, a later fragment whose own extension chain is elsewhere.
 */
function droppedByMatches(bytes: Uint8Array): boolean {
	const packet = parsePacket(bytes);
	if (typeof packet === "string" || packet.malformed !== undefined) return true;
	if (packet.protocol === undefined) return true;
	if (packet.laterFragment) {
		const inEights = (((bytes[6] ?? 0) << 8) | (bytes[7] ?? 0)) & 0x1fff;
		return packet.family === "ipv4" && packet.protocol === 6 && inEights === 1;
	}
	const { transport } = packet;
	const needed = HEADER_BYTES[transport?.protocol ?? 0] ?? 0;
	return transport !== undefined && packet.length - transport.offset < needed;
}

/** The bytes of a transport header that xt_tcp and its like need. */
const HEADER_BYTES: Readonly<Record<number, number>> = {
	[PROTOCOL_NUMBER.tcp]: 20,
	[PROTOCOL_NUMBER.udp]: 8,
	[PROTOCOL_NUMBER.udplite]: 8,
	[PROTOCOL_NUMBER.dccp]: 12,
	[PROTOCOL_NUMBER.sctp]: 12,
};

/** iptables has no plugin for `-m udplite`, though the kernel has the match. */
function iptablesKnows(rule: Rule): boolean {
	return !rule.matches.some((match) => match.kind === "ports" && match.module === "udplite");
}

/** On kernels without ip_tables, iptables translates to nftables, which matches differently. */
function withoutIpTables(): string | false {
	try {
		run("iptables-legacy", "-t", "raw", "-S");
		run("ip6tables-legacy", "-t", "raw", "-S");
		return false;
	} catch (error) {
		if (process.env["L3DSR_REQUIRE_KERNEL"] === "1") throw error;
		return `iptables-legacy does not work here: ${String(error).split("\n").at(-1)}`;
	}
}

const skip = withoutIpTables();

interface Count {
	readonly packets: number;
	readonly bytes: number;
}

function countersOf(family: Family): Count[] {
	const text = run(family === "ipv4" ? "iptables-legacy-save" : "ip6tables-legacy-save", "-c", "-t", "raw");
	return Array.from(text.matchAll(/^\[(\d+):(\d+)\] -A/gm), ([, packets, bytes]) => ({
		packets: Number(packets),
		bytes: Number(bytes),
	}));
}

for (const family of ["ipv4", "ipv6"] as const) {
	test(`${family}: ${RULES} rules count the same packets as ip_tables (seed ${seed})`, {
		skip,
	}, async () => {
		await using crossing = await Crossing.open();
		const local = addressBytes(VOCABULARY[family].destinations[1]);
		ip(`address add ${VOCABULARY[family].destinations[1]} dev lo`);
		const context: PacketContext = {
			inInterface: IN_INTERFACE,
			outInterface: "",
			mark: 0,
			sourceMac: SENDER_MAC_BYTES,
			local: [prefixOf(addressFromBytes(local), local.length * 8)],
		};
		const rules: readonly Rule[] = fc.sample(
			arbitraryMatchingRule(family, { inInterface: IN_INTERFACE }).filter(iptablesKnows),
			{ numRuns: RULES, seed },
		);
		const packets = fc
			.sample(arbitraryPacket({ family }), { numRuns: PACKETS, seed })
			.filter(({ bytes }) => !droppedByMatches(bytes))
			.map(({ bytes }, id) => withIdentity(bytes, id));
		assert.ok(packets.length > PACKETS / 3, `${packets.length} packets are left`);

		const lines = rules.map((rule) => `-A PREROUTING ${formatRuleSpec(rule).replace(/ ?-j DADDR.*$/, "")}`);
		const program = family === "ipv4" ? "iptables-legacy-restore" : "ip6tables-legacy-restore";
		execFileSync(program, { input: `*raw\n${lines.join("\n")}\nCOMMIT\n` });
		await crossing.send(packets);
		const counted = countersOf(family);

		let matched = 0;
		for (const [i, rule] of rules.entries()) {
			const hits = packets.filter((packet) => {
				const result = rewriteByRules(packet, [rule], context);
				return result.evaluated && result.outcomes[0]?.matched === true;
			});
			const expected = {
				packets: hits.length,
				bytes: hits.reduce((sum, { length }) => sum + length, 0),
			};
			matched += Math.min(1, hits.length);
			assert.deepEqual(
				counted[i],
				expected,
				`${lines[i]}\nthe oracle matches:\n${hits.slice(0, 10).map(describePacket).join("\n")}`,
			);
		}
		// Most rules must match something, or the test proves nothing.
		assert.ok(matched > RULES / 3, `only ${matched} rules of ${RULES} matched any packet`);
	});
}
