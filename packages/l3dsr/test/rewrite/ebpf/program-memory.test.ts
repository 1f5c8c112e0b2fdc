/** A program that others have detached is attached again unchanged: the same program with its counters. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { type ProgramId, tcxIngress } from "@l3dsr/bpf";
import { interfaceByName, PacketSocket } from "@l3dsr/linux";
import { type Prefix, parseAddress, prefixOf } from "@l3dsr/packet";
import { failOnLeaks } from "../../../../../test/support/leak.ts";
import { enterNetns, ip, waitFor } from "../../../../../test/support/netns.ts";
import { EMPTY_RULESET, type Ruleset } from "../../../src/model/ruleset.ts";
import { EbpfDatapath } from "../../../src/rewrite/ebpf/kernel/ebpf.ts";
import { ProgramMemory } from "../../../src/rewrite/ebpf/kernel/program-memory.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { bytesOf, ethernet, ipv4, udp } from "../../packets/build.ts";
import { setRules } from "../set-rules.ts";

enterNetns();
failOnLeaks();

const HERE = "02:00:00:00:00:01";

function rules(...dscps: readonly number[]): Ruleset {
	return rulesWith("", ...dscps);
}

function rulesWith(match: string, ...dscps: readonly number[]): Ruleset {
	return {
		entries: dscps.map((dscp, index) => ({
			rule: parseRuleSpec(`-i in0 ${match} -m dscp --dscp ${dscp} -j DADDR --set-daddr 10.0.0.${dscp}`, {
				family: "ipv4",
				table: "raw",
				chain: "PREROUTING",
			}),
			ordinal: (index + 1) * 1024,
		})),
	};
}

function makeInterface(): void {
	ip(`link add in0 address ${HERE} type veth peer name in0peer`);
	ip("link set in0 up");
	ip("link set in0peer up");
}

function attached(): readonly ProgramId[] {
	return tcxIngress.query(interfaceByName("in0")).map(({ programId }) => programId);
}

function detachAll(): void {
	const on = interfaceByName("in0");
	for (const one of tcxIngress.query(on)) tcxIngress.detach(on, one);
}

function sendOne(): void {
	using socket = new PacketSocket({ interfaceName: "in0peer", etherType: 0 });
	const packet = ipv4({ destination: "192.0.2.10", dscp: 1 }, udp());
	socket.send([bytesOf(ethernet({ source: "02:00:00:00:00:02", destination: HERE }, packet))]);
}

async function countOne(datapath: EbpfDatapath, expected: number): Promise<void> {
	sendOne();
	await waitFor(`${expected} counted packets`, async () => (await counted(datapath)) === expected);
}

async function counted(datapath: EbpfDatapath): Promise<number> {
	return Number((await datapath.observe()).rules[0]?.counters.packets ?? -1n);
}

function open(memory: ProgramMemory, local: () => readonly Prefix[] = () => []): EbpfDatapath {
	return new EbpfDatapath({
		hook: "auto",
		openChecksums: "refuse",
		localPrefixes: async () => local(),
		memory,
	});
}

function addresses(...texts: readonly string[]): readonly Prefix[] {
	return texts.map((text) => {
		const address = parseAddress(text);
		assert(address !== undefined, text);
		return prefixOf(address, address.family === "ipv4" ? 32 : 128);
	});
}

afterEach(() => ip("link delete in0"));

test("a detached program is attached again, and continues counting", async () => {
	makeInterface();
	using memory = new ProgramMemory();
	const datapath = open(memory);
	await setRules(datapath, rules(1, 2));
	await countOne(datapath, 1);
	const before = attached();
	detachAll();
	await setRules(datapath, rules(1, 2));
	assert.deepEqual(attached(), before);
	await countOne(datapath, 2);
});

test("an interface that is created again gets the program of the previous one", async () => {
	makeInterface();
	using memory = new ProgramMemory();
	const datapath = open(memory);
	await setRules(datapath, rules(1, 2));
	await datapath.observe();
	const before = attached();
	ip("link delete in0");
	await datapath.observe();
	makeInterface();
	await setRules(datapath, rules(1, 2));
	assert.deepEqual(attached(), before);
});

test("addresses to which no director sends do not prevent a program's return", async () => {
	makeInterface();
	using memory = new ProgramMemory();
	let local = addresses("192.0.2.10", "fe80::1");
	const datapath = open(memory, () => local);
	const wanted = rulesWith("-m addrtype --dst-type LOCAL", 1);
	await setRules(datapath, wanted);
	await datapath.observe();
	const before = attached();
	ip("link delete in0");
	await datapath.observe();
	makeInterface();
	local = addresses("192.0.2.10", "fe80::2", "fe80::3");
	await setRules(datapath, wanted);
	assert.deepEqual(attached(), before);
	detachAll();
	local = addresses("192.0.2.10", "192.0.2.11");
	await setRules(datapath, wanted);
	assert.notDeepEqual(attached(), before);
});

test("a new address of the host needs a new program, made of the remembered code", async () => {
	makeInterface();
	using memory = new ProgramMemory();
	const many = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"];
	let local = addresses(...many);
	const datapath = open(memory, () => local);
	const wanted = rulesWith("-m addrtype --dst-type LOCAL", 1);
	await setRules(datapath, wanted);
	// Packets arrive in order: once a later one has been counted, this one was passed on.
	sendOne();
	const before = attached();
	local = addresses(...many, "192.0.2.10");
	await setRules(datapath, wanted);
	assert.notDeepEqual(attached(), before);
	await countOne(datapath, 1);
	local = addresses(...many);
	await setRules(datapath, wanted);
	sendOne();
	local = addresses(...many, "192.0.2.10");
	await setRules(datapath, wanted);
	await countOne(datapath, 2);
});

test("other rules for a detached program need a new one, in which remaining rules continue counting", async () => {
	makeInterface();
	using memory = new ProgramMemory();
	const datapath = open(memory);
	await setRules(datapath, rules(1, 2));
	await countOne(datapath, 1);
	const before = attached();
	detachAll();
	await setRules(datapath, rules(1, 3));
	assert.notDeepEqual(attached(), before);
	await countOne(datapath, 2);
	assert.deepEqual(
		(await datapath.observe()).rules.map(({ counters }) => counters.packets),
		[2n, 0n],
	);
});

test("a program that we have detached ourselves does not return", async () => {
	makeInterface();
	using memory = new ProgramMemory();
	const datapath = open(memory);
	await setRules(datapath, rules(1));
	await countOne(datapath, 1);
	const before = attached();
	await setRules(datapath, EMPTY_RULESET);
	assert.deepEqual(attached(), []);
	await setRules(datapath, rules(1));
	assert.notDeepEqual(attached(), before);
	assert.equal(await counted(datapath), 0);
});

test("no descriptor of a replaced program stays open", async () => {
	makeInterface();
	using memory = new ProgramMemory();
	const datapath = open(memory);
	await setRules(datapath, rules(1));
	await datapath.observe();
	const [id] = attached();
	assert(id !== undefined);
	await setRules(datapath, rules(2));
	await datapath.observe();
	assert.equal(memory.rulesOf(id), undefined);
});
