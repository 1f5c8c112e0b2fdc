import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns, ip, Netns, run, waitFor } from "../../../../test/support/netns.ts";
import type { DatapathChoice } from "../../src/model/configuration.ts";
import { EMPTY_RULESET, type RuleEntry } from "../../src/model/ruleset.ts";
import { type HostDatapath, openDatapath } from "../../src/rewrite/host-datapath.ts";
import { parseRuleSpec } from "../../src/syntax/iptables/rule-parser.ts";
import { bytesOf, ethernet, ipv4, udp } from "../packets/build.ts";
import { Flood } from "../packets/flood.ts";
import { setRules } from "./set-rules.ts";

enterNetns();
failOnLeaks();

const HERE = "02:00:00:00:00:01";

function open(datapath: DatapathChoice): HostDatapath {
	return openDatapath({ datapath });
}

function entry(ordinal: number, spec: string): RuleEntry {
	return { ordinal, rule: parseRuleSpec(spec, { family: "ipv4", table: "raw", chain: "PREROUTING" }) };
}

const RULES = [1, 2].map((dscp) =>
	entry(dscp, `-i in0 -m dscp --dscp ${dscp} -j DADDR --set-daddr 10.0.0.${dscp}`),
);

async function move(to: DatapathChoice): Promise<void> {
	const datapath = open(to);
	await setRules(datapath, { entries: RULES });
}

afterEach(async () => {
	const datapath = open("auto");
	await setRules(datapath, EMPTY_RULESET);
});

test("rules that move between the datapaths under traffic keep their counters, and rewrite every packet", async () => {
	using peer = new Netns("sender");
	ip(`link add in0 address ${HERE} type veth peer name out0 netns ${peer.name}`);
	ip("link set in0 up");
	peer.ip("link set out0 up");
	run("nft", "add table ip probe; add chain ip probe c { type filter hook prerouting priority 0; }");
	for (const address of ["192.0.2.10", "10.0.0.1", "10.0.0.2"]) {
		run("nft", `add rule ip probe c ip daddr ${address} counter drop`);
	}
	await move("auto");
	const frames = [1, 2].flatMap((dscp) =>
		new Array<Uint8Array>(10).fill(
			bytesOf(
				ethernet(
					{ source: "02:00:00:00:00:02", destination: HERE },
					ipv4({ destination: "192.0.2.10", dscp }, udp()),
				),
			),
		),
	);
	const flood = await Flood.start({ netns: peer.name, interfaceName: "out0", frames, everyMs: 2 });
	for (let i = 0; i < 6; i++) await move(i % 2 === 0 ? "nft" : "auto");
	const sent = (await flood.stop()) * frames.length;
	const count = (address: string): number =>
		Number(
			new RegExp(`daddr ${address} counter packets (\\d+)`).exec(
				run("nft", "list", "table", "ip", "probe"),
			)?.[1],
		);
	await waitFor("all packets", () => count("10.0.0.1") + count("10.0.0.2") + count("192.0.2.10") === sent);
	assert.equal(count("192.0.2.10"), 0);
	const { rules, findings } = await open("auto").observe();
	assert.deepEqual(findings, []);
	assert.deepEqual(
		rules.map(({ datapath }) => datapath),
		["ebpf", "ebpf"],
	);
	// A packet that met both datapaths is counted twice; one that neither counted would be missing.
	for (const { counters } of rules)
		assert.ok(Number(counters.packets) >= sent / 2 / 8, String(counters.packets));
	run("nft", "delete", "table", "ip", "probe");
	ip("link delete in0");
});

test("without traffic, counters are exactly the same after rules have moved", async () => {
	ip("link add in0 type veth peer name out0");
	const counted = RULES.map((one, i) => ({
		...one,
		counters: { packets: BigInt(i + 5), bytes: BigInt(i + 500) },
	}));
	const first = open("auto");
	await setRules(first, { entries: counted });
	for (const to of ["nft", "ebpf", "nft", "auto"] as const) {
		await move(to);
		const { rules } = await open("auto").observe();
		assert.deepEqual(
			rules.map(({ datapath, counters }) => [datapath, counters]),
			counted.map(({ counters }) => [to === "nft" ? "nft" : "ebpf", counters]),
		);
	}
	ip("link delete in0");
});

test("a rule that eBPF cannot hold is refused if eBPF is forced, and nothing has changed", async () => {
	ip("link add in0 type veth peer name out0");
	await move("ebpf");
	const datapath = open("ebpf");
	const more = entry(9, "-m dscp --dscp 9 -j DADDR --set-daddr 10.0.0.9");
	await assert.rejects(
		setRules(datapath, { entries: [...RULES, more] }),
		/on datapath ebpf: a rule without -i applies to all interfaces/,
	);
	assert.equal((await open("auto").observe()).rules.length, RULES.length);
	ip("link delete in0");
});
