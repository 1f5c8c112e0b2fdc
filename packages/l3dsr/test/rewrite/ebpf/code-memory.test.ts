/** A program from remembered code equals the compiled program, and the memory is used only for equal code. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeProgram } from "@l3dsr/bpf";
import { type Prefix, parseAddress, prefixOf } from "@l3dsr/packet";
import { CodeMemory, type ProgramSource } from "../../../src/rewrite/ebpf/compile/code-memory.ts";
import { compileProgram, withContentsOf } from "../../../src/rewrite/ebpf/compile/compile.ts";
import { FIRST_RULE_SLOT } from "../../../src/rewrite/ebpf/compile/interface-rules.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { LISTED_TC } from "./run.ts";

function prefix(text: string): Prefix {
	const [host = "", length = ""] = text.split("/");
	const address = parseAddress(host);
	assert(address !== undefined, text);
	return prefixOf(address, Number(length));
}

/** For each family: two services with one DSCP, distinguished by port, and one with its own DSCP. */
function source(local: readonly string[], { dport = 80, slots = 256 } = {}): ProgramSource {
	const specs = (["192.0.2.", "2001:db8::"] as const).flatMap((network) => [
		{ network, spec: `-p tcp -m tcp --dport ${dport} -m dscp --dscp 1`, host: 1 },
		{ network, spec: "-p tcp -m tcp --dport 443 -m dscp --dscp 1", host: 2 },
		{ network, spec: "-m dscp --dscp 2", host: 3 },
	]);
	return {
		rules: {
			local: local.map(prefix),
			rules: specs.map(({ network, spec, host }, index) => ({
				rule: parseRuleSpec(
					`-i eth0 ${spec} -m addrtype --dst-type LOCAL -j DADDR --set-daddr ${network}${host}`,
					{ family: network.includes(":") ? "ipv6" : "ipv4", table: "raw", chain: "PREROUTING" },
				),
				ordinal: index + 1,
				slot: FIRST_RULE_SLOT + index,
			})),
		},
		target: LISTED_TC,
		slots,
	};
}

const LOOPBACK = ["127.0.0.0/8", "::1/128"];
/** For each family, more than are compared one by one. */
const MANY = [
	...LOOPBACK,
	...Array.from({ length: 6 }, (_, host) => [`198.51.100.${host}/32`, `2001:db8:1::${host}/128`]).flat(),
];

/** Stores the code of the first source and looks up the second. */
function remembered(first: ProgramSource, second: ProgramSource) {
	const memory = new CodeMemory();
	memory.keep("eth0", first, compiled(first));
	return memory.get("eth0", second);
}

function compiled({ rules, target, slots }: ProgramSource) {
	return encodeProgram(compileProgram(rules, target, slots));
}

test("an address that is looked up in a map is added and removed without a new compilation", () => {
	for (const other of [[...MANY, "198.51.100.77/32"], [...MANY, "2001:db8:7::7/128"], MANY.slice(0, -1)]) {
		const [first, second] = [source(MANY), source(other)];
		const known = remembered(first, second);
		assert(known !== undefined);
		const { instructions: _, ...wanted } = compiled(second);
		assert.deepEqual(withContentsOf(second.rules, known), wanted);
		assert.notDeepEqual(known, wanted);
	}
});

test("addresses that are part of the code need a new compilation", () => {
	const others = {
		"few addresses are compared one by one": [source(LOOPBACK), source([...LOOPBACK, "198.51.100.1/32"])],
		"a prefix is compared": [source(MANY), source([...MANY, "203.0.113.0/24"])],
		"few have become many": [source(LOOPBACK), source(MANY)],
		"a VIP has become one of this host's": [source(MANY), source([...MANY, "192.0.2.2/32"])],
	} as const;
	for (const [what, [first, second]] of Object.entries(others)) {
		assert.equal(remembered(first, second), undefined, what);
		assert.notDeepEqual(compiled(first).code, compiled(second).code, what);
	}
});

test("another rule, counter size, hook or interface needs a new compilation", () => {
	const first = source(MANY);
	assert.equal(remembered(first, source(MANY, { dport: 81 })), undefined);
	assert.equal(remembered(first, source(MANY, { slots: 512 })), undefined);
	assert.equal(remembered(first, { ...first, target: { ...LISTED_TC, linkHeaderBytes: 0 } }), undefined);
	const memory = new CodeMemory();
	memory.keep("eth0", first, compiled(first));
	assert.equal(memory.get("eth1", first), undefined);
	memory.forget("eth0");
	assert.equal(memory.get("eth0", first), undefined);
});

test("the program of the least recently used interface is forgotten first", () => {
	const memory = new CodeMemory();
	const [first, ...others] = Array.from({ length: 17 }, (_, number) => `eth${number}`);
	const program = compiled(source(LOOPBACK));
	for (const on of [first, ...others].slice(0, 16)) memory.keep(String(on), source(LOOPBACK), program);
	assert(memory.get("eth0", source(LOOPBACK)) !== undefined);
	memory.keep("eth16", source(LOOPBACK), program);
	assert(memory.get("eth0", source(LOOPBACK)) !== undefined);
	assert.equal(memory.get("eth1", source(LOOPBACK)), undefined);
});
