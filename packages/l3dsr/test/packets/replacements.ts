/**
 * Replacements of the rules under traffic: 50,000 packets a second of both families arrive on `in0` while one
 * ruleset replaces another, and the packets are counted behind the datapath, by destination.
 */

import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { setImmediate, setTimeout } from "node:timers/promises";
import type { Family } from "@l3dsr/packet";
import { ip, Netns, run, waitFor } from "../../../../test/support/netns.ts";
import { ORDINAL_STEP, type RuleEntry } from "../../src/model/ruleset.ts";
import type { Observation } from "../../src/rewrite/datapath.ts";
import { parseRuleSpec } from "../../src/syntax/iptables/rule-parser.ts";
import { bytesOf, ethernet, ipv4, ipv6, udp } from "./build.ts";
import { Flood } from "./flood.ts";

/** The interface on which the traffic arrives, and where the rules are needed. */
export const LOADED_INTERFACE = "in0";

const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];
const REAL = { ipv4: "192.0.2.10", ipv6: "2001:db8:a::10" } as const;
/** They differ in every word, so a partly rewritten address is none of these. */
const VIPS = {
	ipv4: ["10.1.1.1", "172.30.254.9"],
	ipv6: ["fc00:1111:1111:1111:1111:1111:1111:1111", "fd22:2222:2222:2222:2222:2222:2222:2222"],
} as const;
/** The source of the packets that `build.ts` makes. */
const SOURCE = { ipv4: "198.51.100.1", ipv6: "2001:db8:c::1" } as const;
/** A network that sends nothing, for rules that match no packet. */
const NOBODY = { ipv4: "203.0.113.0/24", ipv6: "2001:db8:f::/48" } as const;

const CODES = [1, 2, 3, 4] as const;
/** 2 families, 4 codes, 32 copies in 5 ms: 51,200 packets a second. */
const COPIES = 32;
const EVERY_MS = 5;
const HERE = "02:00:00:00:00:01";

const FRAMES = CODES.flatMap((dscp) =>
	[ipv4({ destination: REAL.ipv4, dscp }, udp()), ipv6({ destination: REAL.ipv6, dscp }, udp())].flatMap(
		(packet) =>
			new Array<Uint8Array>(COPIES).fill(
				bytesOf(ethernet({ source: "02:00:00:00:00:02", destination: HERE }, packet)),
			),
	),
);

/**
 * A rule of both families: `{0}` and `{1}` are VIPs, `{nobody}` a network, `{sender}` the source of the
 * traffic.
 */
export type Sketch = readonly [ordinal: number, spec: string];

/** `more` is added to every rule: `-i in0`. */
export function bothFamilies(sketches: readonly Sketch[], more = ""): readonly RuleEntry[] {
	return FAMILIES.flatMap((family) =>
		sketches.map(([ordinal, spec]) => {
			const text = spec
				.replace(/\{(\d)\}/, (_, index: string) => VIPS[family][Number(index)] ?? "")
				.replace("{nobody}", NOBODY[family])
				.replace("{sender}", SOURCE[family]);
			return {
				ordinal,
				rule: parseRuleSpec(`${more} ${text}`, { table: "raw", chain: "PREROUTING", family }),
			};
		}),
	);
}

/** The ordinal of the rule for the code at this index. */
export function ordinalOf(index: number): number {
	return (index + 1) * ORDINAL_STEP;
}

/** The rule that sends packets with this DSCP to one of the VIPs. */
export function byCode(dscp: number, vip: number, more = ""): string {
	return `-m dscp --dscp ${dscp}${more} -j DADDR --set-daddr {${vip}}`;
}

/** One rule for each of the codes, with these VIPs. */
export function byCodes(vips: readonly number[], more = ""): readonly Sketch[] {
	return CODES.map((code, i) => [ordinalOf(i), byCode(code, vips[i] ?? 0, more)]);
}

export interface Replacements {
	/** Puts the rules of this turn in force; the traffic starts with turn 0. */
	readonly replace: (turn: number) => Promise<void>;
	readonly observe: () => Promise<Observation>;
	/** The maximum rate; as many as the machine manages. */
	readonly perSecond: number;
	readonly seconds: number;
	/** The minimum number, however long they take. */
	readonly atLeast: number;
}

/** Packets of the traffic only. */
export interface Arrived {
	readonly unrewritten: number;
	/** To one of the VIPs. */
	readonly rewritten: number;
	/** To any other address. */
	readonly torn: number;
}

export interface Outcome {
	readonly arrived: Arrived;
	/** Packets that reached the datapath: all except those that the kernel dropped for lack of space. */
	readonly came: number;
	/** Those with the last code, for each family. */
	readonly cameWithLastCode: readonly number[];
	/** After the last packet. */
	readonly observed: Observation;
	/** A text for people. */
	readonly summary: string;
}

/**
 * Sends traffic from its own namespace and replaces the rules, until `seconds` have passed and every packet
 * is counted.
 */
export async function replaceUnderLoad({
	replace,
	observe,
	perSecond,
	seconds,
	atLeast,
}: Replacements): Promise<Outcome> {
	using peer = new Netns("sender");
	ip(`link add ${LOADED_INTERFACE} address ${HERE} type veth peer name out0 netns ${peer.name}`);
	ip(`link set ${LOADED_INTERFACE} up`);
	peer.ip("link set out0 up");
	installProbe();
	try {
		await replace(0);
		const flood = await Flood.start({
			netns: peer.name,
			interfaceName: "out0",
			frames: FRAMES,
			everyMs: EVERY_MS,
		});
		const start = performance.now();
		let turn = 0;
		let busyMs = 0;
		for (let now = start; turn < atLeast || now < start + seconds * 1000; now = performance.now()) {
			turn++;
			await replace(turn);
			const done = performance.now();
			busyMs += done - now;
			const due = start + (turn * 1000) / perSecond;
			if (due > done) await setTimeout(due - done);
			else await setImmediate();
		}
		const tookS = (performance.now() - start) / 1000;
		const sent = (await flood.stop()) * FRAMES.length;
		const { arrived, dropped, withLastCode } = await waitFor("all packets counted", () => {
			const read = readProbe();
			const { unrewritten, rewritten, torn } = read.arrived;
			return unrewritten + rewritten + torn + read.dropped >= sent ? read : undefined;
		});
		const summary =
			`${(turn / tookS).toFixed(0)} replacements a second of ${(busyMs / turn).toFixed(1)} ms, ${turn} in all; ` +
			`${(sent / tookS).toFixed(0)} packets a second, ${sent} in all, ${dropped} dropped by a full queue`;
		const came = sent - dropped;
		return {
			arrived,
			came,
			cameWithLastCode: withLastCode,
			observed: await observe(),
			summary,
		};
	} finally {
		for (const table of ["ip", "ip6"]) run("nft", "delete", "table", table, "probe");
		ip(`link delete ${LOADED_INTERFACE}`);
	}
}

/** Each packet went to one of the VIPs, and the last ruleset is intact. */
export function assertEachRewritten({ arrived, came, observed }: Outcome): void {
	assert.deepEqual(arrived, { unrewritten: 0, rewritten: came, torn: 0 });
	assert.deepEqual(observed.findings, []);
}

/**
 * The rules of the last code, which were the same in every ruleset, have counted each of its packets exactly
 * once.
 */
export function assertEachCounted({ observed, cameWithLastCode }: Outcome): void {
	const kept = observed.rules.filter(({ ordinal }) => ordinal === ordinalOf(CODES.length - 1));
	assert.deepEqual(
		kept.map(({ counters }) => Number(counters.packets)),
		cameWithLastCode,
	);
}

/** Counts all packets of the flood behind the datapath, by destination. */
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
				`add rule ${table} probe c ${select} ${table} dscp ${CODES.at(-1)} counter comment "last code";` +
				`${rules.join("")} add rule ${table} probe c ${select} counter drop comment "torn"`,
		);
	}
}

interface Read {
	readonly arrived: Arrived;
	/** Dropped by the kernel before the datapath, because the machine was too busy. */
	readonly dropped: number;
	readonly withLastCode: readonly number[];
}

function readProbe(): Read {
	const text = ["ip", "ip6"].map((table) => run("nft", "-n", "list", "table", table, "probe")).join("");
	const count = (pattern: string) =>
		[...text.matchAll(new RegExp(`${pattern} counter packets (\\d+)`, "g"))].reduce(
			(sum, [, n]) => sum + Number(n),
			0,
		);
	const addresses = (list: readonly string[]) => list.reduce((sum, one) => sum + count(`daddr ${one}`), 0);
	const [link] = JSON.parse(run("ip", "-s", "-j", "link", "show", LOADED_INTERFACE)) as [
		{ stats64: { rx: { dropped: number } } }, // ip(8)
	];
	return {
		arrived: {
			unrewritten: addresses(Object.values(REAL)),
			rewritten: addresses(FAMILIES.flatMap((family) => VIPS[family])),
			torn: FAMILIES.reduce((sum, family) => sum + count(`saddr ${SOURCE[family]}`), 0),
		},
		withLastCode: [...text.matchAll(/dscp 0x[0-9a-f]+ counter packets (\d+)/g)].map(([, n]) => Number(n)),
		dropped: link.stats64.rx.dropped,
	};
}
