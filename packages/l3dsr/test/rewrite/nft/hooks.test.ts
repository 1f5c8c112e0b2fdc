/** Every chain is at its hook, where matches on more than the packet's bytes work. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Family } from "@l3dsr/packet";
import { enterNetns, ip, run } from "../../../../../test/support/netns.ts";
import type { Chain, Table } from "../../../src/model/rule.ts";
import type { RuleEntry } from "../../../src/model/ruleset.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { ipv4, ipv6, udp } from "../../packets/build.ts";
import { REAL_IPV4, REAL_IPV6, VIP_IPV4, VIP_IPV6 } from "../../packets/catalogue.ts";
import { Crossing, forwarded } from "../../packets/crossing.ts";
import { assertEquivalentPacket } from "../../packets/diff.ts";
import { setRules } from "../set-rules.ts";

enterNetns();

const nft = new NftDatapath();

type Line = readonly [table: Table, chain: Chain, family: Family, spec: string];

async function install(...rules: readonly Line[]): Promise<void> {
	const entries = rules.map(
		([table, chain, family, spec], ordinal): RuleEntry => ({
			rule: parseRuleSpec(spec, { table, chain, family }),
			ordinal,
		}),
	);
	await setRules(nft, { entries: [] });
	await setRules(nft, { entries });
}

async function counted(): Promise<number[]> {
	return (await nft.observe()).rules.map(({ counters }) => Number(counters.packets));
}

const four = (destination: string, id: number): Uint8Array => ipv4({ destination, dscp: 1, id }, udp());
const six = (destination: string, flowLabel: number): Uint8Array =>
	ipv6({ destination, dscp: 1, flowLabel }, udp());

describe("packets that are forwarded", () => {
	const places: readonly (readonly [Table, Chain, string])[] = [
		["raw", "PREROUTING", "-i in+"],
		["mangle", "PREROUTING", "-i in0"],
		["mangle", "FORWARD", "-i in0 -o out0"],
		["mangle", "POSTROUTING", "! -o lo"],
	];
	it("are rewritten in each chain, in a shared lookup and by a separate rule", async () => {
		await using crossing = await Crossing.open();
		for (const [table, chain, interfaces] of places) {
			await install(
				[table, chain, "ipv4", `${interfaces} -m dscp --dscp 1 -j DADDR --set-daddr ${VIP_IPV4}`],
				[table, chain, "ipv6", `${interfaces} -m dscp ! --dscp 2 -j DADDR --set-daddr ${VIP_IPV6}`],
			);
			const arrived = await crossing.send([four(REAL_IPV4, 1), six(REAL_IPV6, 2)]);
			const place = `${table} ${chain}`;
			assertEquivalentPacket(arrived[0] ?? new Uint8Array(), forwarded(four(VIP_IPV4, 1)), `IPv4, ${place}`);
			assertEquivalentPacket(arrived[1] ?? new Uint8Array(), forwarded(six(VIP_IPV6, 2)), `IPv6, ${place}`);
		}
	});

	it("match by mark, and by whether the destination is an address of this host", async () => {
		await using crossing = await Crossing.open();
		for (const address of [REAL_IPV4, REAL_IPV6]) ip(`address add ${address} dev lo`);
		for (const family of ["ip", "ip6"]) {
			run(
				"nft",
				`add table ${family} marks; add chain ${family} marks c { type filter hook prerouting priority -350; }`,
			);
			run("nft", `add rule ${family} marks c meta mark set 0x107`);
		}
		await install(
			[
				"raw",
				"PREROUTING",
				"ipv4",
				`-m mark --mark 0x7/0xff -m addrtype --dst-type LOCAL -j DADDR --set-daddr ${VIP_IPV4}`,
			],
			["raw", "PREROUTING", "ipv4", "-m mark ! --mark 0x107 -j DADDR --set-daddr 203.0.113.1"],
			[
				"raw",
				"PREROUTING",
				"ipv6",
				`-m mark --mark 0x107 -m addrtype --dst-type LOCAL -j DADDR --set-daddr ${VIP_IPV6}`,
			],
			[
				"raw",
				"PREROUTING",
				"ipv6",
				"-m addrtype ! --dst-type LOCAL -m hl --hl-lt 9 -j DADDR --set-daddr 2001:db8:f::1",
			],
		);
		const other = [four("192.0.2.99", 1), six("2001:db8:a::99", 1)];
		const arrived = await crossing.send([four(REAL_IPV4, 2), six(REAL_IPV6, 2), ...other]);
		const expected = [four(VIP_IPV4, 2), six(VIP_IPV6, 2), ...other].map(forwarded);
		for (const [i, packet] of expected.entries()) {
			assertEquivalentPacket(arrived[i] ?? new Uint8Array(), packet, `packet ${i}`);
		}
		assert.deepEqual(await counted(), [1, 0, 1, 0]);
		run("nft", "delete table ip marks; delete table ip6 marks");
	});
});

describe("packets of this host", () => {
	/** Sends one datagram to `address`, and returns where a later hook saw datagrams for 192.0.2.77. */
	async function send(hook: string, rules: readonly Line[]): Promise<string> {
		await install(...rules);
		run("nft", `add table ip probe; add chain ip probe c { type filter hook ${hook} priority 300; }`);
		for (const interfaceName of ["lo", "d0"]) {
			const key = hook === "input" ? "iifname" : "oifname";
			run("nft", `add rule ip probe c ${key} ${interfaceName} ip daddr 192.0.2.77 udp dport 9999 counter`);
		}
		run(
			"sh",
			"-c",
			`${process.execPath} -e 'require("dgram").createSocket("udp4").send("x", 9999, "203.0.113.9", () => process.exit())'`,
		);
		const listing = run("nft", "list", "table", "ip", "probe");
		run("nft", "delete table ip probe");
		return [...listing.matchAll(/[io]ifname "(\w+)".*counter packets 1 /g)].map(([, name]) => name).join();
	}

	it("are routed again after mangle OUTPUT, but not after raw OUTPUT", async () => {
		ip("link add d0 type veth peer name d1");
		ip("link set d1 up");
		ip("link set d0 up");
		ip("address add 198.51.100.1/24 dev d0");
		ip("route replace default dev d0");
		ip("address add 192.0.2.77/32 dev lo");
		const spec = "-d 203.0.113.9 -j DADDR --set-daddr 192.0.2.77";
		assert.equal(await send("postrouting", [["mangle", "OUTPUT", "ipv4", spec]]), "lo");
		assert.equal(await send("postrouting", [["raw", "OUTPUT", "ipv4", spec]]), "d0");
	});

	it("are rewritten in mangle INPUT after the decision that they are for this host", async () => {
		ip("address add 203.0.113.9/32 dev lo");
		const spec = "-i lo -p udp -d 203.0.113.9 -j DADDR --set-daddr 192.0.2.77";
		assert.equal(await send("input", [["mangle", "INPUT", "ipv4", spec]]), "lo");
		assert.deepEqual(await counted(), [1]);
	});
});
