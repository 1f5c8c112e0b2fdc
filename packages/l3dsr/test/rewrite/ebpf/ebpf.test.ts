import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { clsactIngress, Program, programIdOf, tcxIngress, xdpNative } from "@l3dsr/bpf";
import { interfaceByName, PacketSocket } from "@l3dsr/linux";
import fc from "fast-check";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns, ip, waitFor } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";
import { runs } from "../../../../../test/support/property-runs.ts";
import { verdictSpec } from "../../../../bpf/test/programs.ts";
import { L3dsrError } from "../../../src/errors.ts";
import { type Rule, ZERO_COUNTERS } from "../../../src/model/rule.ts";
import { EMPTY_RULESET, type RuleEntry } from "../../../src/model/ruleset.ts";
import type { Observation } from "../../../src/rewrite/datapath.ts";
import { compileProgram } from "../../../src/rewrite/ebpf/compile/compile.ts";
import { MAP } from "../../../src/rewrite/ebpf/compile/identity.ts";
import { SCHEMA_VERSION } from "../../../src/rewrite/ebpf/compile/interface-rules.ts";
import { type HookName, PLACES } from "../../../src/rewrite/ebpf/kernel/attachment.ts";
import { EbpfDatapath } from "../../../src/rewrite/ebpf/kernel/ebpf.ts";
import { formatRuleSpec } from "../../../src/syntax/iptables/rule-format.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { arbitraryMatchingRule } from "../../packets/arbitrary.ts";
import { bytesOf, ethernet, ipv4, udp } from "../../packets/build.ts";
import { setRules } from "../set-rules.ts";
import { restlessRules } from "./restless.ts";
import { TC } from "./run.ts";

enterNetns();
failOnLeaks();

const TCX_NEXT = -1;
const HERE = "02:00:00:00:00:01";
const PACKET_BYTES = ipv4({ destination: "192.0.2.10" }, udp()).length;

function open(hook: HookName | "auto" = "auto", openChecksums: "refuse" | "accept" = "refuse"): EbpfDatapath {
	return new EbpfDatapath({ hook, openChecksums, localPrefixes: async () => [] });
}

function rule(spec: string, family: Rule["family"] = "ipv4"): Rule {
	return parseRuleSpec(spec, { family, table: "raw", chain: "PREROUTING" });
}

/** `-i in0 -m dscp --dscp 1 -j DADDR --set-daddr …`, numbered in order. */
function entries(...specs: readonly string[]): RuleEntry[] {
	return specs.map((spec, index) => ({
		rule: rule(spec, spec.includes(":") ? "ipv6" : "ipv4"),
		ordinal: (index + 1) * 1024,
	}));
}

const plain = (dscp: number, on = "in0"): string =>
	`-i ${on} -m dscp --dscp ${dscp} -j DADDR --set-daddr 10.0.0.${dscp}`;

function addVeth(name: string): void {
	ip(`link add ${name} address ${HERE} type veth peer name ${name}peer`);
	ip(`link set ${name} up`);
	ip(`link set ${name}peer up`);
}

/** Packets with these DSCPs arrive on `in0`. */
function arrive(...dscps: readonly number[]): void {
	using socket = new PacketSocket({ interfaceName: "in0peer", etherType: 0 });
	socket.send(
		dscps.map((dscp) =>
			bytesOf(
				ethernet(
					{ source: "02:00:00:00:00:02", destination: HERE },
					ipv4({ destination: "192.0.2.10", dscp }, udp()),
				),
			),
		),
	);
}

function pairs(list: readonly { readonly rule: Rule; readonly ordinal: number }[]): string[] {
	return list.map(({ rule: one, ordinal }) => `${one.family} ${ordinal} ${formatRuleSpec(one)}`).sort();
}

function packetsOf({ rules }: Observation): number[] {
	return rules.map(({ counters }) => Number(counters.packets));
}

/** The observation after all packets on their way have been counted. */
async function counted(of: EbpfDatapath, packets: readonly number[]): Promise<Observation> {
	let last: number[] = [];
	try {
		return await waitFor(`counters ${packets}`, async () => {
			const observed = await of.observe();
			last = packetsOf(observed);
			return last.join() === packets.join() ? observed : undefined;
		});
	} catch (error) {
		throw new Error(`counters are ${last}`, { cause: error });
	}
}

afterEach(async () => {
	for (const name of ["in0", "in1", "tun0"]) {
		try {
			ip(`link delete ${name}`);
		} catch {
			// This test had none.
		}
	}
	await setRules(open(), EMPTY_RULESET);
});

describe("the observed rules", () => {
	it("are those that were applied, for random rules of two interfaces, change after change", async () => {
		addVeth("in0");
		addVeth("in1");
		const datapath = open();
		const one = fc
			.record({
				family: fc.constantFrom("ipv4" as const, "ipv6" as const),
				on: fc.constantFrom("in0", "in1"),
			})
			.chain(({ family, on }) =>
				arbitraryMatchingRule(family).map((random) => ({
					...random,
					header: { ...random.header, inInterface: { name: on, wildcard: false, negated: false } },
				})),
			);
		await fc.assert(
			fc.asyncProperty(
				fc
					.array(one, { maxLength: 12 })
					.map((rules) => rules.map((each, i) => ({ rule: each, ordinal: i * 3 }))),
				async (list) => {
					await setRules(datapath, { entries: list });
					const observed = await datapath.observe();
					assert.deepEqual(observed.findings, []);
					assert.deepEqual(pairs(observed.rules), pairs(list));
				},
			),
			{ numRuns: runs(25), endOnFailure: true },
		);
		await setRules(datapath, EMPTY_RULESET);
		for (const name of ["in0", "in1"]) assert.deepEqual(tcxIngress.query(interfaceByName(name)), []);
	});

	it("are empty on a host without rules, and applying none changes nothing", async () => {
		await setRules(open(), EMPTY_RULESET);
		const { rules, findings } = await open().observe();
		assert.deepEqual([rules, findings], [[], []]);
	});

	it("leave out an interface that disappears while it is read", async () => {
		// Interfaces appear and disappear as fast as ip can make them.
		const datapath = open();
		for (let i = 0; i < 30; i++) {
			ip("link add in1 type veth peer name in1peer");
			const observing = datapath.observe();
			ip("link delete in1");
			const { rules, findings } = await observing;
			assert.deepEqual([rules, findings], [[], []]);
		}
	});
});

describe("counters", () => {
	it("continue over replacements, are exact, and begin at zero for a new rule", async () => {
		addVeth("in0");
		const datapath = open();
		await setRules(datapath, { entries: entries(plain(1), plain(2)) });
		arrive(1, 1, 2, 3);
		await counted(datapath, [2, 1]);
		await setRules(datapath, { entries: entries(plain(1), plain(2), plain(3)) });
		arrive(1, 3);
		const observed = await counted(datapath, [3, 1, 1]);
		assert.deepEqual(
			observed.rules.map(({ counters }) => Number(counters.bytes)),
			[3, 1, 1].map((packets) => packets * PACKET_BYTES),
		);
		// Another rule replaces the second one.
		const [first, , third] = entries(plain(1), plain(2), plain(3));
		const [, other] = entries(plain(1), plain(4));
		await setRules(datapath, { entries: [first, other, third].filter((each) => each !== undefined) });
		arrive(4, 4);
		await counted(datapath, [3, 2, 1]);
	});

	it("can be set and zeroed without replacing the program", async () => {
		addVeth("in0");
		const datapath = open();
		const [first, second] = entries(plain(1), plain(2)) as [RuleEntry, RuleEntry];
		await setRules(datapath, { entries: [first, second] });
		arrive(1, 2);
		await counted(datapath, [1, 1]);
		const [before] = tcxIngress.query(interfaceByName("in0"));
		const huge = { packets: 2n ** 60n + 1n, bytes: 2n ** 63n + 5n };
		await setRules(datapath, {
			entries: [
				{ ...first, counters: huge },
				{ ...second, counters: ZERO_COUNTERS },
			],
		});
		const { rules } = await datapath.observe();
		assert.deepEqual(
			rules.map(({ counters }) => counters),
			[huge, ZERO_COUNTERS],
		);
		const [after] = tcxIngress.query(interfaceByName("in0"));
		assert.equal(after?.programId, before?.programId);
		arrive(2);
		await counted(datapath, [2 ** 60 + 1, 1]);
	});

	it("move to larger maps if there are more than 256, and continue there", async () => {
		addVeth("in0");
		const datapath = open();
		const few = entries(plain(1), plain(2));
		await setRules(datapath, { entries: few });
		arrive(1, 2, 2);
		await counted(datapath, [1, 2]);
		const more = Array.from({ length: 300 }, (_, i) => ({
			rule: rule(`-i in0 -s 10.1.${i >> 8}.${i & 255} -j DADDR --set-daddr 10.0.0.9`),
			ordinal: 100_000 + i,
		}));
		await setRules(datapath, { entries: [...few, ...more] });
		arrive(1, 2);
		await counted(datapath, [2, 3, ...more.map(() => 0)]);
		await setRules(datapath, { entries: few });
		arrive(2);
		await counted(datapath, [2, 4]);
	});

	it("follow the rules to another hook", async () => {
		addVeth("in0");
		const list = entries(plain(1), plain(2));
		await setRules(open("tcx"), { entries: list });
		arrive(1);
		await counted(open(), [1, 0]);
		for (const [hook, expected] of [
			["clsact", [2, 0]],
			["tcx", [3, 0]],
			["auto", [4, 0]],
		] as const) {
			await setRules(open(hook), { entries: list });
			arrive(1);
			const observed = await counted(open(), expected);
			assert.deepEqual(observed.findings, []);
			const on = interfaceByName("in0");
			assert.equal(tcxIngress.query(on).length, hook === "clsact" ? 0 : 1, hook);
			assert.equal(clsactIngress.query(on).length, hook === "clsact" ? 1 : 0, hook);
		}
	});
});

describe("a change that fails half-way", () => {
	it("leaves the program, rules and counters of the first interface unchanged", async () => {
		addVeth("in0");
		addVeth("in1");
		const before = entries(plain(1), plain(2));
		await setRules(open(), { entries: before });
		arrive(1, 2);
		await counted(open(), [1, 1]);
		// There is no interface of that name, which is noticed only after in0 has changed.
		const after = entries(plain(3), plain(1), plain(5, "nowhere"));
		const [first] = after as [RuleEntry];
		await assert.rejects(
			setRules(open(), {
				entries: [{ ...first, counters: { packets: 7n, bytes: 7n } }, ...after.slice(1)],
			}),
			/attach the rules of nowhere: there is no such interface/,
		);
		arrive(1, 3);
		const observed = await counted(open(), [2, 1]);
		assert.deepEqual(pairs(observed.rules), pairs(before));
		assert.deepEqual(observed.findings, []);
	});

	it("restores rules that had been removed, and removes those that had been added", async () => {
		addVeth("in0");
		addVeth("in1");
		using foreign = Program.load(verdictSpec("xdp", 2, "foreign"));
		xdpNative.attach(interfaceByName("in1"), foreign);
		await setRules(open("xdp", "accept"), { entries: entries(plain(1)) });
		await assert.rejects(
			setRules(open("xdp", "accept"), { entries: entries(plain(2), plain(3, "in1")) }),
			(error: unknown) =>
				error instanceof L3dsrError &&
				/attach the rules of in1 to XDP: program foreign \(id \d+\) is at XDP, and an interface has one/.test(
					error.message,
				),
		);
		const observed = await open().observe();
		assert.deepEqual(pairs(observed.rules), pairs(entries(plain(1))));
		assert.deepEqual(
			xdpNative.query(interfaceByName("in1")).map(({ programId }) => programId),
			[foreign.info.id],
		);
	});
});

describe("programs of others", () => {
	it("stay after and before ours; one before ours is reported, and the next change puts ours first", async () => {
		addVeth("in0");
		const on = interfaceByName("in0");
		using behind = Program.load(verdictSpec("tc", TCX_NEXT, "behind"));
		using before = Program.load(verdictSpec("tc", TCX_NEXT, "before"));
		tcxIngress.attach(on, behind);
		await setRules(open(), { entries: entries(plain(1)) });
		tcxIngress.attach(on, before, { position: "first" });
		const ids = () => tcxIngress.query(on).map(({ programId }) => programId);
		const [, ours] = ids();
		assert.deepEqual(ids(), [before.info.id, ours, behind.info.id]);
		arrive(1);
		const { findings } = await counted(open(), [1]);
		assert.deepEqual(findings, [
			{
				datapath: "ebpf",
				kind: "damage",
				object: "tcx ingress of in0",
				problem: `before (id ${before.info.id}) runs before ours and may withhold packets from it`,
			},
		]);
		await setRules(open(), { entries: entries(plain(1)) });
		assert.deepEqual(ids().slice(1), [before.info.id, behind.info.id]);
		arrive(1);
		assert.deepEqual((await counted(open(), [2])).findings, []);
		await setRules(open(), EMPTY_RULESET);
		assert.deepEqual(ids(), [before.info.id, behind.info.id]);
	});

	it("at clsact stay too; ours goes before them, and again if one is put before it", async () => {
		addVeth("in0");
		const on = interfaceByName("in0");
		using others = Program.load(verdictSpec("tc", 0, "others"));
		clsactIngress.attach(on, others, { priority: 1 });
		const names = () => clsactIngress.query(on).map(({ name }) => name);
		await setRules(open("clsact"), { entries: entries(plain(1)) });
		assert.deepEqual(names(), ["l3dsr_tc", "others"]);
		arrive(1);
		assert.deepEqual((await counted(open(), [1])).findings, []);
		using before = Program.load(verdictSpec("tc", 0, "before"));
		clsactIngress.attach(on, before, { priority: "first" });
		assert.deepEqual(names(), ["before", "l3dsr_tc", "others"]);
		assert.deepEqual((await open().observe()).findings, [
			{
				datapath: "ebpf",
				kind: "damage",
				object: "clsact ingress of in0",
				problem: `before (id ${before.info.id}) runs before ours and may withhold packets from it`,
			},
		]);
		await setRules(open("clsact"), { entries: entries(plain(1)) });
		assert.deepEqual(names(), ["l3dsr_tc", "before", "others"]);
		assert.deepEqual((await open().observe()).findings, []);
		arrive(1);
		await counted(open(), [2]);
		await setRules(open(), EMPTY_RULESET);
		assert.deepEqual(names(), ["before", "others"]);
	});

	it("at XDP prevent ours, with their name in the error", async () => {
		addVeth("in0");
		using foreign = Program.load(verdictSpec("xdp", 2, "foreign"));
		xdpNative.attach(interfaceByName("in0"), foreign);
		for (const hook of ["xdp", "xdp-generic"] as const) {
			await assert.rejects(
				setRules(open(hook, "accept"), { entries: entries(plain(1)) }),
				/program foreign \(id \d+\) is at XDP, and an interface has one XDP program/,
			);
		}
	});

	it("of ours in the other mode of XDP are moved by way of tc", async () => {
		addVeth("in0");
		const list = entries(plain(1));
		await setRules(open("xdp", "accept"), { entries: list });
		await assert.rejects(
			setRules(open("xdp-generic", "accept"), { entries: list }),
			(error: unknown) => error instanceof L3dsrError && /tc first/.test(error.diagnostics[0]?.hint ?? ""),
		);
		await setRules(open("tcx"), { entries: list });
		await setRules(open("xdp-generic", "accept"), { entries: list });
		assert.deepEqual(pairs((await open().observe()).rules), pairs(list));
		assert.equal(PLACES["xdp-generic"].query(interfaceByName("in0")).length, 1);
	});
});

describe("unexpected programs of ours", () => {
	it("that are twice on an interface are reported, and one stays", async () => {
		addVeth("in0");
		await setRules(open("tcx"), { entries: entries(plain(1)) });
		const on = interfaceByName("in0");
		{
			using program = Program.open(tcxIngress.query(on)[0]?.programId ?? programIdOf(1));
			clsactIngress.attach(on, program);
		}
		const { findings } = await open().observe();
		assert.deepEqual(findings, [
			{
				datapath: "ebpf",
				kind: "damage",
				object: "in0",
				problem: "has programs of ours at tcx ingress and clsact ingress: each counts a packet",
			},
		]);
		await setRules(open(), { entries: entries(plain(1)) });
		const { rules, findings: none } = await open().observe();
		assert.deepEqual([rules.length, none], [1, []]);
	});

	it("of another schema are reported, and the next change replaces them", async () => {
		addVeth("in0");
		const on = interfaceByName("in0");
		const [entry] = entries(plain(1)) as [RuleEntry];
		const spec = compileProgram({ rules: [{ ...entry, slot: 8 }], local: [] }, TC, 256);
		const later = Buffer.from(`"schema":${SCHEMA_VERSION + 1}`);
		const maps = spec.maps.map((map) => ({
			...map,
			contents: map.contents?.map(({ key, value }) => {
				const changed = Buffer.from(value);
				const at = changed.indexOf(`"schema":${SCHEMA_VERSION}`);
				if (at >= 0) later.copy(changed, at);
				return { key, value: changed };
			}),
		}));
		{
			using program = Program.load({
				...spec,
				maps: maps.map(({ contents, ...map }) => (contents === undefined ? map : { ...map, contents })),
			});
			tcxIngress.attach(on, program);
		}
		const { rules, findings } = await open().observe();
		assert.deepEqual(rules, []);
		assert.deepEqual(
			findings.map(({ object, problem }) => [object, problem]),
			[
				[
					"tcx ingress of in0",
					`read the rules of program l3dsr_tc at tcx ingress of in0: it was written with schema ${SCHEMA_VERSION + 1}, this release reads ${SCHEMA_VERSION}`,
				],
			],
		);
		await setRules(open(), { entries: [entry] });
		assert.equal(tcxIngress.query(on).length, 1);
		assert.deepEqual((await open().observe()).findings, []);
	});

	it("with foreign maps are reported", async () => {
		addVeth("in0");
		const on = interfaceByName("in0");
		using program = Program.load(verdictSpec("tc", TCX_NEXT, "l3dsr_tc"));
		tcxIngress.attach(on, program);
		const { findings } = await open().observe();
		assert.match(findings[0]?.problem ?? "", new RegExp(`it has no map ${MAP.counters}`));
		await setRules(open(), EMPTY_RULESET);
		assert.deepEqual(tcxIngress.query(on), []);
	});
});

describe("an interface that", () => {
	it("disappears loses its rules without an error; the next change is refused until it is back", async () => {
		addVeth("in0");
		addVeth("in1");
		const list = entries(plain(1), plain(2, "in1"));
		await setRules(open(), { entries: list });
		ip("link delete in0");
		const observed = await open().observe();
		assert.deepEqual(pairs(observed.rules), pairs(list.slice(1)));
		assert.deepEqual(observed.findings, []);
		await assert.rejects(
			setRules(open(), { entries: list }),
			/attach the rules of in0: there is no such interface/,
		);
		addVeth("in0");
		await setRules(open(), { entries: list });
		assert.deepEqual(pairs((await open().observe()).rules), pairs(list));
	});

	it("is renamed is reported, with the rules that it still runs", async () => {
		addVeth("in0");
		const list = entries(plain(1));
		await setRules(open(), { entries: list });
		ip("link set in0 down");
		ip("link set in0 name in1");
		const { rules, findings } = await open().observe();
		assert.deepEqual(pairs(rules), pairs(list));
		assert.deepEqual(findings, [
			{
				datapath: "ebpf",
				kind: "damage",
				object: "in1",
				problem: "runs the rules of in0, its former name",
			},
		]);
		await setRules(open(), EMPTY_RULESET);
		assert.deepEqual(tcxIngress.query(interfaceByName("in1")), []);
	});

	it("is the loopback, or has no link-layer header, can have rules", async () => {
		ip("tuntap add tun0 mode tun");
		ip("link set tun0 up");
		const list = entries(plain(1, "lo"), plain(2, "tun0"));
		await setRules(open(), { entries: list });
		assert.deepEqual(pairs((await open().observe()).rules), pairs(list));
	});
});

describe("a frame of a VLAN", () => {
	it("does not match the rules of the parent interface; a priority tag does not count as a VLAN", async () => {
		addVeth("in0");
		await setRules(open(), { entries: entries(plain(1), plain(2)) });
		using socket = new PacketSocket({ interfaceName: "in0peer", etherType: 0 });
		const tagged = (id: number, dscp: number) =>
			bytesOf(
				ethernet(
					{ source: "02:00:00:00:00:02", destination: HERE, vlans: [{ id }] },
					ipv4({ destination: "192.0.2.10", dscp }, udp()),
				),
			);
		socket.send([tagged(5, 1), tagged(5, 1), tagged(0, 2)]);
		await counted(open(), [0, 1]);
	});
});

describe("kill -9", () => {
	it("during changes of rules and hook leaves the old rules or the new ones, and the next change repairs it", async () => {
		addVeth("in0");
		const sets = ([0, 1] as const).map((which) => pairs(restlessRules(which, "in0")).join());
		const path = fileURLToPath(new URL("./restless.ts", import.meta.url));
		for (let i = 0; i < 4; i++) {
			const child = spawn(process.execPath, [...FROM_SOURCE, path, "in0"], {
				stdio: ["ignore", "pipe", "inherit"],
			});
			await once(child.stdout, "data");
			await setTimeout(Math.random() * 60);
			child.kill("SIGKILL");
			await once(child, "exit");
			const { rules, findings } = await open().observe();
			const whole = sets.includes(pairs(rules).join());
			// Between two hooks, both have theirs.
			assert.ok(whole || (findings.length === 1 && rules.length > 2), JSON.stringify(findings));
			arrive(1);
			await waitFor("a packet counted", async () => packetsOf(await open().observe()).some((n) => n > 0));
			await setRules(open(), { entries: restlessRules(0, "in0") });
			const mended = await open().observe();
			assert.deepEqual([pairs(mended.rules).join(), mended.findings], [sets[0], []]);
			await setRules(open(), EMPTY_RULESET);
		}
	});
});
