/**
 * A copy of the nft rules has their effect on a packet in every chain that packets arrive by, and no other
 * effect.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { parseAddress } from "@l3dsr/packet";
import fc from "fast-check";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns, run } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";
import { runs } from "../../../../../test/support/property-runs.ts";
import type { Chain, Rule, Table } from "../../../src/model/rule.ts";
import { hostPrefix } from "../../../src/model/selection.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { RulesReplica } from "../../../src/rewrite/nft/kernel/replica.ts";
import { rewriteByRules } from "../../../src/rewrite/oracle/oracle.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { arbitraryMatchingRule } from "../../packets/arbitrary.ts";
import { ipv4, ipv6, tcp, udp } from "../../packets/build.ts";
import { REAL_IPV4, REAL_IPV6, VIP_IPV4, VIP_IPV6 } from "../../packets/catalogue.ts";
import { IN_INTERFACE, SENDER_MAC_BYTES } from "../../packets/crossing.ts";
import { assertEquivalentPacket } from "../../packets/diff.ts";
import { fragmentOf } from "../../packets/fragment.ts";
import { setRules } from "../set-rules.ts";

enterNetns();
failOnLeaks();

const nft = new NftDatapath();

async function install(rules: readonly Rule[]): Promise<void> {
	await setRules(nft, { entries: rules.map((rule, ordinal) => ({ rule, ordinal })) });
}

function local(...addresses: readonly string[]) {
	return addresses.map((text) => {
		const address = parseAddress(text);
		assert.ok(address !== undefined);
		return hostPrefix(address);
	});
}

async function replica(
	options: { on?: string; mark?: number; local?: readonly string[]; beyond?: boolean } = {},
) {
	const rules = (await nft.observe()).rules.map(({ rule }) => rule);
	return await RulesReplica.of({
		interface: options.on ?? IN_INTERFACE,
		local: local(...(options.local ?? [])),
		mark: options.mark ?? 0,
		beyondPrerouting: options.beyond ?? false,
		rules,
	});
}

function rule(family: "ipv4" | "ipv6", table: Table, chain: Chain, spec: string): Rule {
	return parseRuleSpec(spec, { family, table, chain });
}

const to = { ipv4: VIP_IPV4, ipv6: VIP_IPV6 } as const;
const DSCP_1 = "-m dscp --dscp 1 -j DADDR --set-daddr";

function packet(family: "ipv4" | "ipv6", destination: string, dscp = 1): Uint8Array {
	return family === "ipv4" ? ipv4({ destination, dscp }, tcp()) : ipv6({ destination, dscp }, udp());
}

describe("a copy of the nft rules", () => {
	for (const [family, real] of [
		["ipv4", REAL_IPV4],
		["ipv6", REAL_IPV6],
	] as const) {
		it(`shows ${family} packets after PREROUTING, and after INPUT, FORWARD and POSTROUTING if those have rules`, async () => {
			const vip = to[family];
			const prerouting = rule(
				family,
				"raw",
				"PREROUTING",
				`-i ${IN_INTERFACE} -m dscp --dscp 2 -j DADDR --set-daddr ${vip}`,
			);
			for (const [chain, way, own] of [
				["INPUT", "local", [real, vip]],
				["FORWARD", "forwarded", []],
				["POSTROUTING", "forwarded", []],
			] as const) {
				await install([prerouting, rule(family, "mangle", chain, `${DSCP_1} ${vip}`)]);
				using copy = await replica({ local: own, beyond: true });
				assert.ok(copy.exact);
				const packets = [1, 2, 3].map((dscp) => packet(family, real, dscp));
				const [first, second, third] = copy.run(packets.map((bytes) => ({ bytes })));
				assertEquivalentPacket(first?.arrived ?? new Uint8Array(), packet(family, real, 1), chain);
				assert.equal(first?.left?.way, way);
				assertEquivalentPacket(first?.left?.bytes ?? new Uint8Array(), packet(family, vip, 1), chain);
				assertEquivalentPacket(second?.arrived ?? new Uint8Array(), packet(family, vip, 2), chain);
				assertEquivalentPacket(third?.left?.bytes ?? new Uint8Array(), packet(family, real, 3), chain);
				const counted = (await copy.counted()).map(({ counters }) => Number(counters.packets));
				assert.deepEqual(counted, [1, 1]);
			}
		});
	}

	it("forwards fragments, and lets none wait before INPUT", async () => {
		await install([rule("ipv4", "mangle", "FORWARD", `${DSCP_1} ${VIP_IPV4}`)]);
		using copy = await replica({ local: ["203.0.113.5"], beyond: true });
		const fragment = (destination: string) =>
			fragmentOf(ipv4({ destination, dscp: 1, id: 9 }, udp({ data: "x".repeat(64) })), 0, 32);
		const [forwarded, own] = copy.run([REAL_IPV4, "203.0.113.5"].map((to) => ({ bytes: fragment(to) })));
		assertEquivalentPacket(forwarded?.left?.bytes ?? new Uint8Array(), fragment(VIP_IPV4), "forwarded");
		assert.deepEqual([own?.arrived !== undefined, own?.left], [true, undefined]);
	});

	it("answers for the given mark, sender, local addresses and interface, also on lo", async () => {
		const mac = SENDER_MAC_BYTES.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
		for (const on of [IN_INTERFACE, "lo"]) {
			// The loopback is not an Ethernet device: no rule by sender matches there.
			const sender = on === "lo" ? "" : `-m mac --mac-source ${mac}`;
			const conditions = `-m mark --mark 7 ${sender} -m addrtype --dst-type LOCAL`;
			await install([
				rule("ipv4", "raw", "PREROUTING", `-i ${on} ${conditions} -j DADDR --set-daddr ${VIP_IPV4}`),
			]);
			const bytes = packet("ipv4", REAL_IPV4);
			const outcomes: boolean[] = [];
			for (const situation of [
				{ on, mark: 7, local: [REAL_IPV4] },
				{ on, mark: 8, local: [REAL_IPV4] },
				{ on, mark: 7, local: [] },
				{ on: "other", mark: 7, local: [REAL_IPV4] },
			]) {
				using copy = await replica(situation);
				const [passage] = copy.run([{ bytes, sourceMac: SENDER_MAC_BYTES }]);
				outcomes.push(Buffer.compare(passage?.arrived ?? new Uint8Array(), bytes) !== 0);
			}
			assert.deepEqual(outcomes, [true, false, false, false], on);
		}
	});

	it("has the effect of the running rules, even if these differ from their comments", async () => {
		await install([
			rule("ipv4", "raw", "PREROUTING", `! -i x -m ecn ! --ecn-ip-ect 2 ${DSCP_1} ${VIP_IPV4}`),
		]);
		run("nft", "insert rule ip l3dsr raw_PREROUTING ip dscp 1 ip daddr set 192.0.2.250");
		using copy = await replica();
		const [passage] = copy.run([{ bytes: packet("ipv4", REAL_IPV4, 1) }]);
		assertEquivalentPacket(passage?.arrived ?? new Uint8Array(), packet("ipv4", VIP_IPV4, 1), "both");
		run("nft", "add rule ip l3dsr raw_PREROUTING ip dscp 1 ip daddr set 192.0.2.251");
		using later = await replica();
		const [other] = later.run([{ bytes: packet("ipv4", REAL_IPV4, 1) }]);
		assertEquivalentPacket(other?.arrived ?? new Uint8Array(), packet("ipv4", "192.0.2.251", 1), "added");
		run("nft", "delete table ip l3dsr");
	});

	it("reports which packets the stack drops, in captures of thousands", async () => {
		await install([rule("ipv4", "raw", "PREROUTING", `${DSCP_1} ${VIP_IPV4}`)]);
		using copy = await replica();
		const good = packet("ipv4", REAL_IPV4);
		const bad = Uint8Array.from(good);
		bad[10] = (bad[10] ?? 0) ^ 1;
		const passages = copy.run(Array.from({ length: 3000 }, (_, i) => ({ bytes: i % 3 === 0 ? bad : good })));
		assert.equal(passages.length, 3000);
		assert.ok(passages.every(({ arrived }, i) => (arrived !== undefined) === (i % 3 !== 0)));
		const [large, after] = copy.run([
			{ bytes: Buffer.concat([good, Buffer.alloc(1 << 16)]) },
			{ bytes: good },
		]);
		assert.deepEqual([large?.arrived, after?.arrived !== undefined], [undefined, true]);
		assert.equal((await copy.counted())[0]?.counters.packets, 2001n);
		assert.equal((await nft.observe()).rules[0]?.counters.packets, 0n, "a live counter moved");
	});

	it("agrees with the oracle on random rules, in bytes and in counters", async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.array(
					fc.constantFrom("ipv4" as const, "ipv6" as const).chain((family) => arbitraryMatchingRule(family)),
					{ minLength: 1, maxLength: 6 },
				),
				async (rules) => {
					await install(rules);
					using copy = await replica();
					assert.ok(copy.exact);
					const context = {
						inInterface: IN_INTERFACE,
						outInterface: "",
						mark: 0,
						sourceMac: SENDER_MAC_BYTES,
						local: [],
					};
					const packets = (["ipv4", "ipv6"] as const).flatMap((family) =>
						Array.from({ length: 64 }, (_, dscp) =>
							packet(family, family === "ipv4" ? REAL_IPV4 : REAL_IPV6, dscp),
						),
					);
					const passages = copy.run(packets.map((bytes) => ({ bytes, sourceMac: SENDER_MAC_BYTES })));
					const expected = rules.map(() => 0n);
					packets.forEach((bytes, index) => {
						const family = index < 64 ? "ipv4" : "ipv6";
						const own = rules.flatMap((one, at) => (one.family === family ? [at] : []));
						const result = rewriteByRules(
							bytes,
							own.map((at) => rules[at] as Rule),
							context,
						);
						assert.ok(result.evaluated);
						assertEquivalentPacket(
							passages[index]?.arrived ?? new Uint8Array(),
							result.bytes,
							`packet ${index}`,
						);
						result.outcomes.forEach(({ matched }, at) => {
							if (matched) expected[own[at] ?? 0] = (expected[own[at] ?? 0] ?? 0n) + 1n;
						});
					});
					const observed = (await nft.observe()).rules.map(({ ordinal }) => expected[ordinal]);
					assert.deepEqual(
						(await copy.counted()).map(({ counters }) => counters.packets),
						observed,
					);
				},
			),
			{ numRuns: runs(15), endOnFailure: true },
		);
	});

	it("leaves no namespace behind, even if its process is killed", async () => {
		await install([rule("ipv4", "raw", "PREROUTING", `${DSCP_1} ${VIP_IPV4}`)]);
		const before = namespaces();
		const script = `
			import { RulesReplica } from ${JSON.stringify(new URL("../../../src/rewrite/nft/kernel/replica.ts", import.meta.url).href)};
			import { NftDatapath } from ${JSON.stringify(new URL("../../../src/rewrite/nft/kernel/nft.ts", import.meta.url).href)};
			const rules = (await new NftDatapath().observe()).rules.map(({ rule }) => rule);
			const copy = await RulesReplica.of({ env: process.env, interface: "in0", local: [], mark: 0, beyondPrerouting: false, rules });
			console.log(copy.exact);
			process.kill(process.pid, "SIGKILL");`;
		const child = spawnSync(process.execPath, [...FROM_SOURCE, "--input-type=module", "--eval", script], {
			encoding: "utf8",
		});
		assert.deepEqual([child.signal, child.stdout], ["SIGKILL", "true\n"], child.stderr);
		assert.deepEqual(namespaces(), before);
	});
});

/** Namespaces that a process here is in or holds open, and named ones. */
function namespaces(): readonly string[] {
	const held = run(
		"sh",
		"-c",
		"readlink /proc/[0-9]*/ns/net /proc/[0-9]*/fd/* 2>/dev/null | grep ^net: | sort -u; ls /run/netns",
	);
	return held.trim().split("\n");
}
