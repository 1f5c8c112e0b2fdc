/** Replacements of the program under traffic. `make soak` runs the long form: L3DSR_SOAK_SECONDS=10. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { EbpfDatapath } from "../../../src/datapath/ebpf/engine.ts";
import type { Family } from "../../../src/model/address.ts";
import type { RuleEntry } from "../../../src/model/ruleset.ts";
import { failOnLeaks } from "../../leak.ts";
import { enterNetns, ip, Netns, run, waitFor } from "../../netns.ts";
import { bytesOf, ethernet, ipv4, ipv6, udp } from "../../packets/build.ts";
import { Flood } from "../../packets/flood.ts";
import { daddrRule } from "../../packets/rules.ts";

enterNetns();
failOnLeaks();

const SECONDS = Number(process.env["L3DSR_SOAK_SECONDS"] ?? 2);
const REPLACEMENTS_PER_SECOND = 200;
/** 2 families, 3 codes, 42 copies in 5 ms: 50,400 packets a second. */
const COPIES = 42;
const EVERY_MS = 5;

const HERE = "02:00:00:00:00:01";
const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];
const REAL = { ipv4: "192.0.2.10", ipv6: "2001:db8:a::10" } as const;
/** Unlike in every word, so that a torn address is none of these. */
const VIPS = {
	ipv4: ["10.1.1.1", "172.30.254.9"],
	ipv6: ["fc00:1111:1111:1111:1111:1111:1111:1111", "fd22:2222:2222:2222:2222:2222:2222:2222"],
} as const;
const header = { inInterface: { name: "in0", wildcard: false, negated: false } };

/** DSCP 1 and 2 change their VIPs with each ruleset, DSCP 3 keeps its. */
function ruleset(turn: number): RuleEntry[] {
	return FAMILIES.flatMap((family) =>
		[turn % 2, (turn + 1) % 2, 0].map((which, i) => ({
			rule: daddrRule(VIPS[family][which] ?? "", { dscp: i + 1, header }),
			ordinal: i,
		})),
	);
}

const FRAMES = [1, 2, 3].flatMap((dscp) =>
	[ipv4({ destination: REAL.ipv4, dscp }, udp()), ipv6({ destination: REAL.ipv6, dscp }, udp())].flatMap(
		(packet) =>
			new Array<Uint8Array>(COPIES).fill(
				bytesOf(ethernet({ source: "02:00:00:00:00:02", destination: HERE }, packet)),
			),
	),
);

/** Of the packets that `build.ts` makes. */
const SOURCE = { ipv4: "198.51.100.1", ipv6: "2001:db8:c::1" } as const;

/** Counts behind the programs, by destination, all that the flood sends. */
function installProbe(): void {
	for (const family of FAMILIES) {
		const table = family === "ipv4" ? "ip" : "ip6";
		const select = `${table} saddr ${SOURCE[family]}`;
		const rules = [REAL[family], ...VIPS[family]].map(
			(address) => `add rule ${table} probe c ${select} ${table} daddr ${address} counter drop;`,
		);
		run(
			"nft",
			`add table ${table} probe; add chain ${table} probe c { type filter hook prerouting priority 0; };` +
				`${rules.join("")} add rule ${table} probe c ${select} counter drop comment "torn"`,
		);
	}
}

interface Seen {
	readonly unrewritten: number;
	readonly vips: number;
	readonly torn: number;
	/** By the kernel, in front of the programs, where the machine was too busy. */
	readonly dropped: number;
}

function readProbe(): Seen {
	const text = ["ip", "ip6"].map((table) => run("nft", "list", "table", table, "probe")).join("");
	const count = (pattern: string) =>
		[...text.matchAll(new RegExp(`${pattern} counter packets (\\d+)`, "g"))].reduce(
			(sum, [, n]) => sum + Number(n),
			0,
		);
	const addresses = (list: readonly string[]) => list.reduce((sum, one) => sum + count(`daddr ${one}`), 0);
	const [link] = JSON.parse(run("ip", "-s", "-j", "link", "show", "in0")) as [
		{ stats64: { rx: { dropped: number } } }, // ip(8)
	];
	return {
		unrewritten: addresses(Object.values(REAL)),
		vips: addresses(FAMILIES.flatMap((family) => VIPS[family])),
		torn: FAMILIES.reduce((sum, family) => sum + count(`saddr ${SOURCE[family]}`), 0),
		dropped: link.stats64.rx.dropped,
	};
}

for (const hook of ["tcx", "clsact"] as const) {
	test(`up to ${REPLACEMENTS_PER_SECOND} replacements a second at ${hook} under 50,000 packets a second: none unrewritten, none torn, each counted`, async (t: TestContext) => {
		const datapath = new EbpfDatapath({ hook, openChecksums: "refuse", localPrefixes: async () => [] });
		using peer = new Netns("sender");
		ip(`link add in0 address ${HERE} type veth peer name out0 netns ${peer.name}`);
		ip("link set in0 up");
		peer.ip("link set out0 up");
		installProbe();
		await datapath.apply({ entries: ruleset(0) });
		const flood = await Flood.start({
			netns: peer.name,
			interfaceName: "out0",
			frames: FRAMES,
			everyMs: EVERY_MS,
		});
		const start = performance.now();
		let turn = 0;
		let busyMs = 0;
		// As many as the machine manages, up to the wanted rate.
		for (let now = start; now < start + SECONDS * 1000; now = performance.now()) {
			turn++;
			await datapath.apply({ entries: ruleset(turn) });
			busyMs += performance.now() - now;
			await setTimeout(Math.max(0, start + (turn * 1000) / REPLACEMENTS_PER_SECOND - performance.now()));
		}
		const seconds = (performance.now() - start) / 1000;
		const sent = (await flood.stop()) * FRAMES.length;
		const seen = await waitFor("all packets counted", () => {
			const now = readProbe();
			return now.unrewritten + now.vips + now.torn + now.dropped >= sent ? now : undefined;
		});
		t.diagnostic(
			`${(turn / seconds).toFixed(0)} replacements a second of ${(busyMs / turn).toFixed(1)} ms, ` +
				`${(sent / seconds).toFixed(0)} packets a second, ${sent} in all, ${seen.dropped} dropped by a full queue`,
		);
		assert.ok(turn >= 3 * SECONDS, `only ${turn} replacements`);
		assert.deepEqual(seen, { unrewritten: 0, vips: sent - seen.dropped, torn: 0, dropped: seen.dropped });
		const { rules, findings } = await datapath.observe();
		assert.deepEqual(findings, []);
		const kept = rules.filter(({ ordinal }) => ordinal === 2).map(({ counters }) => Number(counters.packets));
		if (seen.dropped === 0) assert.deepEqual(kept, [sent / 6, sent / 6]);
		for (const table of ["ip", "ip6"]) run("nft", "delete", "table", table, "probe");
		ip("link delete in0");
	});
}
