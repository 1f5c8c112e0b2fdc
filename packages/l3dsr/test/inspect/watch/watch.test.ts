import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Program, programIdOf, tcxIngress } from "@l3dsr/bpf";
import { interfaceByName, PacketSocket } from "@l3dsr/linux";
import { addressFromBytes, dscp, dscpOfTos, parseAddress, parsePacket, prefixOf } from "@l3dsr/packet";
import { kernelHas, kernelHasTableOwners } from "../../../../../test/support/kernel.ts";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns, ip, run, waitFor } from "../../../../../test/support/netns.ts";
import type { Rewriting } from "../../../src/inspect/watch/sighting.ts";
import {
	type Sighting,
	Watch,
	type WatchFilter,
	type WatchOptions,
} from "../../../src/inspect/watch/watch.ts";
import type { Rule } from "../../../src/model/rule.ts";
import type { DatapathName } from "../../../src/rewrite/datapath.ts";
import { openDatapath } from "../../../src/rewrite/host-datapath.ts";
import { rewriteByRules } from "../../../src/rewrite/oracle/oracle.ts";
import { ethernet, ipv4, udp } from "../../packets/build.ts";
import { ADDRESSES, beforeAndAfter, CATALOGUE } from "../../packets/catalogue.ts";
import { daddrRule } from "../../packets/rules.ts";
import { setRules } from "../../rewrite/set-rules.ts";

enterNetns();
failOnLeaks();

const MAC = "02:00:00:00:00:02";
const HAS_TCX = kernelHas("tcx");
const HAS_OWNERS = kernelHasTableOwners();
/** The reason if this kernel has nothing that goes away with a watcher. */
function cannotWatch(datapath: DatapathName): string | false {
	if (datapath === "nft") return !HAS_OWNERS && "tables have no owners on this kernel";
	return !HAS_TCX && "programs at tc are watched from tcx, which this kernel lacks";
}
const onV0 = { inInterface: { name: "v0", wildcard: false, negated: false } };

before(() => {
	run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=0", "net.ipv6.conf.default.accept_dad=0");
	ip(`link add v0 address ${MAC} type veth peer name v1`);
	run("sysctl", "-qw", "net.ipv6.conf.v1.disable_ipv6=1");
	ip("address add 10.0.0.2/24 dev v0");
	ip("link set v0 up");
	ip("link set v1 up");
});
after(() => ip("link delete v0"));

/** Sends frames that arrive on v0. */
function send(packets: readonly Uint8Array[]): void {
	using socket = new PacketSocket({ interfaceName: "v1", etherType: 0 });
	socket.send(packets.map((packet) => ethernet({ destination: MAC }, packet)));
}

async function apply(datapath: DatapathName, rules: readonly Rule[]): Promise<void> {
	const opened = openDatapath({ datapath });
	const entries = rules.map((rule, index) => ({ rule, ordinal: 1024 * (index + 1) }));
	await setRules(opened, { entries });
}

function options(filter: WatchFilter = {}, more: Partial<WatchOptions> = {}): WatchOptions {
	return { filter, flows: false, rate: 100_000, ...more };
}

/** The watch's lines for these packets. A last packet, which a rule rewrites, shows that all have arrived. */
async function sightings(
	watch: Watch,
	packets: readonly Uint8Array[],
	last: Uint8Array,
): Promise<Rewriting[]> {
	const seen: Rewriting[] = [];
	const receive = (one: Sighting) => {
		if (one.by === "rule") seen.push(one);
	};
	send([...packets, last]);
	const { packet } = decode(last);
	const isLast = (one: Sighting | undefined) => one?.client.text === addressFromBytes(packet.source).text;
	await waitFor("the last packet", async () => {
		watch.read(receive);
		if (watch.stale) await watch.refresh(receive);
		return seen.some(isLast);
	});
	return seen.filter((one) => !isLast(one));
}

function decode(bytes: Uint8Array) {
	const packet = parsePacket(bytes);
	if (typeof packet === "string") throw new Error(packet);
	return { packet, bytes };
}

const { vip: VIP4, real: REAL4 } = ADDRESSES.ipv4;
const { vip: VIP6 } = ADDRESSES.ipv6;
/** From a client address that nothing else uses. */
const LAST = ipv4({ source: "198.51.100.99", destination: REAL4, dscp: 7 }, udp());

const RULES: readonly Rule[] = [
	daddrRule(VIP4, { dscp: 7, header: onV0 }),
	daddrRule("192.0.2.11", {
		dscp: 9,
		header: { ...onV0, protocol: { number: 17, negated: false } },
		matches: [{ kind: "ports", module: "udp", destination: { first: 80, last: 80, negated: false } }],
	}),
	daddrRule("192.0.2.12", {
		dscp: 9,
		header: onV0,
		matches: [{ kind: "length", first: 0, last: 60, negated: false }],
		clearDscp: true,
		dport: 8080,
	}),
	daddrRule(VIP6, { dscp: 7, header: onV0 }),
	daddrRule("2001:db8::12", {
		dscp: 9,
		header: { ...onV0, protocol: { number: 6, negated: true } },
		matches: [{ kind: "ttl", comparison: "gt", value: 10, negated: false }],
	}),
];

/** The line that the reference expects: none for a packet that no rule rewrites. */
function expected(bytes: Uint8Array): object[] {
	const context = { inInterface: "v0", outInterface: "", mark: 0, local: [] };
	const result = rewriteByRules(bytes, RULES, context);
	const rule = result.evaluated ? RULES[result.outcomes.findLastIndex(({ matched }) => matched)] : undefined;
	if (!result.evaluated || rule === undefined) return [];
	const { packet } = result;
	const { transport } = packet;
	const at = transport?.portsPresent && transport.protocol === packet.protocol ? transport.offset : undefined;
	const word = (offset: number) => ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);
	return [
		{
			interface: "v0",
			client: addressFromBytes(packet.source).text,
			real: addressFromBytes(packet.destination).text,
			vip: rule.target.daddr.text,
			dscp: dscpOfTos(packet.tos),
			protocol: packet.protocol,
			ports: at === undefined ? undefined : { client: word(at), destination: word(at + 2) },
			bytes: packet.length,
			rule,
		},
	];
}

function told({ timeMs: _time, by: _by, datapath: _datapath, ...sighting }: Rewriting): object {
	const { client, real, vip, protocol, ports } = sighting;
	return { ...sighting, client: client.text, real: real.text, vip: vip.text, protocol, ports };
}

function sorted(records: readonly object[]): string[] {
	return records.map((record) => JSON.stringify(record, Object.keys(flat(record)).sort())).sort();
}

/** Every key at any depth, for JSON with keys in one order. */
function flat(value: object): Record<string, true> {
	const keys: Record<string, true> = {};
	for (const [key, inner] of Object.entries(value)) {
		keys[key] = true;
		if (typeof inner === "object" && inner !== null) Object.assign(keys, flat(inner));
	}
	return keys;
}

/** On a kernel that lacks it: the note or the error, which names a version of Linux, and nothing else that it lacks. */
async function whatIsNeeded(): Promise<string> {
	const said = await Watch.open(options()).then(
		(watch) => {
			using _ = watch;
			return watch.notes.join("\n");
		},
		(error: unknown) => String(error),
	);
	assert.match(said, /(the rules of v0 cannot be watched|watch the nft datapath): .*Linux >= (6\.6|5\.12)/);
	return said;
}

for (const datapath of ["ebpf", "nft"] as const) {
	const skip = cannotWatch(datapath);

	test(`on ${datapath}, exactly the rewritten packets are shown: every kind of packet, each as in the reference`, async (t) => {
		await apply(datapath, RULES);
		if (skip !== false) {
			t.diagnostic(await whatIsNeeded());
			return;
		}
		const cases = CATALOGUE.filter(({ kernel }) => kernel !== "drops before prerouting");
		const packets = [7, 9, 11].flatMap((code) =>
			cases.map((one) => beforeAndAfter(one, { dscp: code }).before),
		);
		const wanted = packets.flatMap(expected);
		assert.ok(wanted.length > 50 && wanted.length < packets.length, `${wanted.length} of ${packets.length}`);
		const startedMs = Date.now();
		using watch = await Watch.open(options());
		const seen = await sightings(watch, packets, LAST);
		assert.deepEqual(sorted(seen.map(told)), sorted(wanted));
		for (const one of seen) {
			assert.equal(one.datapath, datapath);
			assert.ok(one.timeMs > startedMs - 1 && one.timeMs < Date.now() + 1, `${one.timeMs}`);
		}
		assert.equal(watch.leftOut, 0n);
	});

	test(`on ${datapath}, filters, --flows and --rate apply`, { skip }, async () => {
		await apply(datapath, RULES);
		const from = (source: string, code: number, port = 40000) =>
			ipv4({ source, destination: REAL4, dscp: code }, udp({ sourcePort: port }));
		const packets = [from("198.51.100.1", 7), from("198.51.100.2", 7), from("203.0.113.1", 9)];
		const clients = async (filter: WatchFilter, more: Partial<WatchOptions> = {}) => {
			using watch = await Watch.open(options(filter, more));
			// The last one must match the filter itself.
			const code = filter.dscp ?? (filter.vip?.text === "192.0.2.12" ? 9 : 7);
			const last = ipv4({ source: "198.51.100.99", destination: REAL4, dscp: code }, udp());
			const seen = await sightings(watch, packets, last);
			return seen.map(({ client }) => client.text);
		};
		const address = (text: string) => parseAddress(text) ?? assert.fail();
		assert.deepEqual(await clients({ dscp: dscp(9) }), ["203.0.113.1"]);
		assert.deepEqual(await clients({ vip: address("192.0.2.12") }), ["203.0.113.1"]);
		const net = prefixOf(address("198.51.100.0"), 24);
		assert.deepEqual(await clients({ client: net }), ["198.51.100.1", "198.51.100.2"]);
		assert.deepEqual(await clients({ interface: "v0", dscp: dscp(9) }), ["203.0.113.1"]);

		using elsewhere = await Watch.open(options({ interface: "lo" }));
		using flows = await Watch.open(options({}, { flows: true }));
		const again = [...packets, ...packets, from("198.51.100.1", 7, 40001), ...packets];
		const first = await sightings(flows, again, LAST);
		assert.deepEqual(
			first.map(({ client, ports }) => `${client.text}:${ports?.client}`),
			["198.51.100.1:40000", "198.51.100.2:40000", "203.0.113.1:40000", "198.51.100.1:40001"],
		);
		elsewhere.read(() => assert.fail("a packet of another interface"));
		flows[Symbol.dispose]();

		using slow = await Watch.open(options({}, { rate: 5 }));
		const seen: Sighting[] = [];
		send(Array.from({ length: 100 }, (_one, i) => from("198.51.100.1", 7, i + 1)));
		await waitFor("every packet, told or counted", async () => {
			slow.read((one) => seen.push(one));
			await slow.refresh((one) => seen.push(one));
			return seen.length + Number(slow.leftOut) === 100;
		});
		assert.ok(seen.length >= 5 && seen.length < 60, `${seen.length}`);
	});
}

test("new rules are followed, and nothing is left behind", { skip: cannotWatch("ebpf") }, async () => {
	await apply("ebpf", RULES);
	const on = interfaceByName("v0");
	const before = tcxIngress.query(on);
	const [ours] = before;
	const tag = () => {
		using program = Program.open(ours?.programId ?? programIdOf(1));
		return program.info.tag;
	};
	const tagBefore = tag();
	{
		await using _watch = await Watch.open(options());
		assert.deepEqual(
			tcxIngress
				.query(on)
				.map(({ programId, linkId }) => [programId === ours?.programId, linkId !== undefined]),
			[
				[false, true],
				[true, false],
			],
		);
		assert.deepEqual((await openDatapath().observe()).findings, []);
	}
	assert.deepEqual(
		tcxIngress.query(on).map(({ programId }) => programId),
		[ours?.programId],
	);
	assert.equal(tag(), tagBefore);

	using watch = await Watch.open(options());
	const changed = daddrRule("192.0.2.77", { dscp: 7, header: onV0 });
	for (const datapath of ["nft", "ebpf"] as const) {
		await apply(datapath, [changed]);
		await watch.refresh(() => {});
		const packet = ipv4({ source: "198.51.100.1", destination: REAL4, dscp: 7 }, udp());
		const [one, ...more] = await sightings(watch, [packet], LAST);
		assert.deepEqual([one?.datapath, one?.vip.text, more.length], [datapath, "192.0.2.77", 0]);
	}
	watch[Symbol.dispose]();
	assert.doesNotMatch(run("nft", "list", "tables"), /watch/);
	await apply("nft", []);
	assert.deepEqual(tcxIngress.query(on), []);
});

for (const datapath of ["ebpf", "nft"] as const) {
	test(`on ${datapath}, packets seen during a change of the rules are counted, and not shown with the wrong rules`, {
		skip: cannotWatch(datapath),
	}, async () => {
		const rule = (vip: string) => [daddrRule(vip, { dscp: 7, header: onV0 })];
		await apply(datapath, rule("192.0.2.10"));
		using watch = await Watch.open(options());
		const packet = (source: string) => ipv4({ source, destination: REAL4, dscp: 7 }, udp());
		const seen: Sighting[] = [];
		const look = async () => {
			watch.read((one) => seen.push(one));
			if (watch.stale) await watch.refresh((one) => seen.push(one));
		};
		const told = (source: string) => seen.some(({ client }) => client.text === source);

		send([packet("198.51.100.1")]);
		run("nft", "add", "table", "ip", "unrelated");
		await waitFor("a packet seen before a change that is none of ours", async () => {
			await look();
			return told("198.51.100.1");
		});

		send([packet("198.51.100.2")]);
		await apply(datapath, rule("192.0.2.77"));
		await waitFor("a packet counted", async () => {
			await look();
			return watch.leftOut === 1n;
		});
		const last = await sightings(watch, [packet("198.51.100.3")], LAST);
		assert.deepEqual(
			[...seen, ...last].map(({ client, vip }) => `${client.text} ${vip.text}`),
			["198.51.100.1 192.0.2.10", "198.51.100.3 192.0.2.77"],
		);
		run("nft", "delete", "table", "ip", "unrelated");
		await apply(datapath, []);
	});
}

test("programs at clsact are watched from tcx, if the kernel has it; those at XDP are named as not watchable", async () => {
	const rules = [daddrRule(VIP4, { dscp: 7, header: onV0 })];
	const entries = rules.map((rule) => ({ rule, ordinal: 1024 }));
	const clsact = openDatapath({ datapath: "ebpf", hook: "clsact" });
	await setRules(clsact, { entries });
	if (HAS_TCX) {
		using watch = await Watch.open(options());
		const packet = ipv4({ source: "198.51.100.1", destination: REAL4, dscp: 7 }, udp());
		const seen = await sightings(watch, [packet], LAST);
		assert.deepEqual(
			seen.map(({ vip, client }) => [vip.text, client.text]),
			[[VIP4, "198.51.100.1"]],
		);
		assert.deepEqual(watch.notes, []);
	}
	const xdp = openDatapath({ datapath: "ebpf", hook: "xdp-generic", openChecksums: "accept" });
	await setRules(xdp, { entries });
	using watch = await Watch.open(options());
	assert.match(
		watch.notes.join("\n"),
		/^the rules of v0 run at generic XDP, which has one program for each interface: no second program can run before it/,
	);
	assert.equal(/hook: tc/.test(watch.notes.join("\n")), HAS_TCX, "advice that this kernel can follow");
	await setRules(xdp, { entries: [] });
	await watch.refresh(() => {});
	assert.deepEqual(watch.notes, ["no rule and no director is in place yet"]);
});
