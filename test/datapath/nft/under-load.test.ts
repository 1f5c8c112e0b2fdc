import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { NftDatapath } from "../../../src/datapath/nft/nft.ts";
import { systemPrograms } from "../../../src/host/process.ts";
import type { Family } from "../../../src/model/address.ts";
import type { RuleEntry } from "../../../src/model/ruleset.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { enterNetns, ip, Netns, run } from "../../netns.ts";
import { bytesOf, ethernet, ipv4, ipv6, udp } from "../../packets/build.ts";
import { Flood } from "../../packets/flood.ts";

enterNetns();

const nft = new NftDatapath(systemPrograms(process.env));

const REAL = { ipv4: "192.0.2.10", ipv6: "2001:db8:a::10" };
const VIPS = {
	ipv4: ["198.51.100.1", "198.51.100.2"],
	ipv6: ["fc00::1", "fc00::2"],
} as const;
const DSCPS = [1, 2, 3, 4];
const COPIES = 12;
const EVERY_MS = 5;
const HERE = "02:00:00:00:00:01";
const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];

type Sketch = readonly [ordinal: number, spec: string];

/** The same rules for both families: `{0}` and `{1}` are its VIPs, `{net}` a network that nobody sends from. */
function ruleset(sketches: readonly Sketch[]): RuleEntry[] {
	const place = { table: "raw", chain: "PREROUTING" } as const;
	return FAMILIES.flatMap((family) =>
		sketches.map(([ordinal, spec]) => {
			const text = spec
				.replace(/\{(\d)\}/, (_, index: string) => VIPS[family][Number(index)] ?? "")
				.replace("{net}", family === "ipv4" ? "203.0.113.0/24" : "2001:db8:f::/48");
			return { ordinal, rule: parseRuleSpec(text, { ...place, family }) };
		}),
	);
}

const by = (dscp: number, vip: number, more = ""): string =>
	`-m dscp --dscp ${dscp}${more} -j DADDR --set-daddr {${vip}}`;
const ordinal = (index: number): number => (index + 1) * 1024;
const four = (vips: readonly number[]): Sketch[] =>
	vips.map((vip, i) => [ordinal(i), by(DSCPS[i] ?? 0, vip)]);

/** Whatever changes, each ruleset rewrites all four codes. */
const ELEMENTS = [four([0, 1, 0, 0]), four([1, 0, 1, 0]), four([1, 1, 0, 0])].map(ruleset);
const STRUCTURES = [
	four([0, 1, 0, 0]),
	// A rule in the middle parts the lookup in two.
	[...four([1, 1, 0, 0]), [ordinal(1) + 1, "-s {net} -j DADDR --set-daddr {0}"] as const],
	// From the map to a rule of its own, and back.
	[
		[1, by(2, 0, " -m length --length 20:")] as const,
		...four([0, 0, 1, 0]).filter((_, index) => index !== 1),
	],
	// No map at all.
	[[ordinal(0), "-p udp -j DADDR --set-daddr {1}"] as const],
	// Two rules for one code need two maps.
	[...four([0, 1, 0, 1]), [ordinal(9), by(1, 1)] as const],
].map((sketches) => ruleset(sketches.map(([at, spec]) => [at, spec])));

interface Result {
	/** Packets of each family that were sent with each code. */
	readonly sent: number;
	/** Counted behind the datapath, by destination. */
	readonly real: number;
	readonly vips: number;
}

async function replaceUnderLoad(list: readonly RuleEntry[][], replacements: number): Promise<Result> {
	await nft.apply({ entries: list[0] ?? [] }, await nft.observe());
	for (const family of FAMILIES) {
		const table = family === "ipv4" ? "ip" : "ip6";
		run(
			"nft",
			`add table ${table} probe; add chain ${table} probe c { type filter hook prerouting priority 0; }`,
		);
		for (const address of [REAL[family], ...VIPS[family]]) {
			run("nft", `add rule ${table} probe c ${table} daddr ${address} counter drop`);
		}
	}
	using peer = new Netns("sender");
	ip(`link add in0 address ${HERE} type veth peer name out0 netns ${peer.name}`);
	ip("link set in0 up");
	peer.ip("link set out0 up");
	const frames = DSCPS.flatMap((dscp) =>
		[ipv4({ destination: REAL.ipv4, dscp }, udp()), ipv6({ destination: REAL.ipv6, dscp }, udp())].flatMap(
			(packet) =>
				new Array<Uint8Array>(COPIES).fill(
					bytesOf(ethernet({ source: "02:00:00:00:00:02", destination: HERE }, packet)),
				),
		),
	);
	const flood = await Flood.start({ netns: peer.name, interfaceName: "out0", frames, everyMs: EVERY_MS });
	for (let i = 1; i <= replacements; i++) {
		const due = performance.now() + 50;
		await nft.apply({ entries: list[i % list.length] ?? [] }, await nft.observe());
		await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
	}
	const rounds = await flood.stop();
	const count = (table: string, address: string): number =>
		Number(
			new RegExp(`daddr ${address} counter packets (\\d+)`).exec(
				run("nft", "list", "table", table, "probe"),
			)?.[1],
		);
	const real = FAMILIES.map((family) => count(family === "ipv4" ? "ip" : "ip6", REAL[family]));
	const vips = FAMILIES.flatMap((family) =>
		VIPS[family].map((vip) => count(family === "ipv4" ? "ip" : "ip6", vip)),
	);
	for (const table of ["ip", "ip6"]) run("nft", `delete table ${table} probe`);
	ip("link delete in0");
	const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
	return { sent: rounds * COPIES, real: sum(real), vips: sum(vips) };
}

describe("replacements under 20,000 packets a second", () => {
	it("of map elements leave no packet unrewritten and count each one", async () => {
		const { sent, real, vips } = await replaceUnderLoad(ELEMENTS, 40);
		assert.equal(real, 0);
		assert.equal(vips, sent * DSCPS.length * 2);
		const { rules, findings } = await nft.observe();
		assert.deepEqual(findings, []);
		// The rule for DSCP 4 was the same in all of them.
		const kept = rules.filter((one) => one.ordinal === ordinal(3));
		assert.deepEqual(
			kept.map(({ counters }) => Number(counters.packets)),
			[sent, sent],
		);
	});

	it("of the rules around the maps leave no packet unrewritten", async () => {
		const { sent, real, vips } = await replaceUnderLoad(STRUCTURES, 25);
		assert.equal(real, 0);
		assert.equal(vips, sent * DSCPS.length * 2);
		const observed = await nft.observe();
		assert.deepEqual(observed.findings, []);
	});
});
