/** Values that the kernel would take for others, or that no program could name, do not reach it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
	assign,
	type BaseChain,
	type Command,
	counter,
	dataType,
	type Expression,
	field,
	match,
	meta,
	Nftables,
	PreparedTransaction,
	type SetElement,
	type SetSpec,
} from "../src/index.ts";

const table = { family: "ip", name: "t" } as const;
const bytes = (...list: readonly number[]): Uint8Array => Uint8Array.from(list);

function refuses(message: RegExp, make: () => unknown): void {
	assert.throws(make, { name: "RangeError", message });
}

/** Encodes a command whose types a program in JavaScript may ignore. */
function encode(command: unknown): void {
	new PreparedTransaction([command as Command]);
}

describe("a command is refused before it is sent", () => {
	const base: BaseChain = { type: "filter", hook: "input", priority: 0, policy: "accept" };
	const rule = (...expressions: readonly unknown[]): unknown => ({
		do: "add rule",
		table,
		chain: "c",
		rule: { expressions },
	});

	it("with a name that is empty, ends early or has half a character", () => {
		for (const name of ["", "a\0b", "a\ud800"]) {
			refuses(/^add chain ip t .*: .*(empty|zero)/, () =>
				encode({ do: "add chain", table, chain: { name } }),
			);
		}
		refuses(/^add table ip : a name is empty/, () =>
			encode({ do: "add table", table: { ...table, name: "" } }),
		);
		refuses(/has a zero/, () => encode({ do: "add table", table: { ...table, comment: "a\0b" } }));
	});

	it("with a number that does not fit", () => {
		for (const priority of [Number.NaN, 1.5, 2 ** 31]) {
			refuses(/^add chain ip t p: hook: priority: .* is not a whole number from/, () =>
				encode({ do: "add chain", table, chain: { name: "p", base: { ...base, priority } } }),
			);
		}
		const key = { type: dataType("ipv4_addr") };
		refuses(/size: -1 is not/, () => encode({ do: "add set", table, set: { name: "s", key, size: -1 } }));
		for (const packets of [2n ** 64n, -1n, 1])
			refuses(/^add a rule to chain/, () => encode(rule(counter(packets as bigint))));
		refuses(/group: 70000 is not/, () => encode(rule({ kind: "log", group: 70000 } satisfies Expression)));
		refuses(/handle: -1 does not/, () => encode({ do: "delete rule", table, chain: "c", handle: -1n }));
	});

	it("with a word that is none of nf_tables, and says which there are", () => {
		refuses(/ip4 is none of inet, ip,/, () =>
			encode({ do: "add table", table: { ...table, family: "ip4" } }),
		);
		refuses(/policy: reject is none of drop, accept/, () =>
			encode({ do: "add chain", table, chain: { name: "p", base: { ...base, policy: "reject" } } }),
		);
		refuses(/verdict: toString is none of drop/, () =>
			encode(rule({ kind: "verdict", verdict: "toString" })),
		);
		refuses(/no expression of kind nat/, () => encode(rule({ kind: "nat" })));
		refuses(/add tabel is not a command/, () => encode({ do: "add tabel", table }));
	});

	it("with elements that its set cannot have", () => {
		const plain = { name: "s", key: { type: dataType("ipv4_addr") } } as const satisfies SetSpec;
		const ranges = { ...plain, flags: ["interval"] } as const satisfies SetSpec;
		const add = (set: SetSpec, element: SetElement): void =>
			encode({ do: "add elements", table, set, elements: [element] });
		refuses(/^add elements to set ip t s: a key of 16 bytes/, () => add(plain, { key: new Uint8Array(16) }));
		refuses(/a range needs a set/, () => add(plain, { key: bytes(1, 2, 3, 4), last: bytes(1, 2, 3, 9) }));
		refuses(/ends before it begins/, () => add(ranges, { key: bytes(1, 2, 3, 4), last: bytes(1, 2, 3, 3) }));
		const map = { ...plain, data: { type: dataType("ipv4_addr") } } as const;
		refuses(/data of 2 bytes/, () => add(map, { key: bytes(1, 2, 3, 4), data: bytes(1, 2) }));
	});

	it("with a control character, which the message does not repeat", () => {
		const name = "\u001b[2J\0";
		refuses(/^add chain ip t \?\[2J\?: name:/, () => encode({ do: "add chain", table, chain: { name } }));
	});

	it("for a generation that cannot be one", () => {
		using nftables = new Nftables();
		for (const generation of [0, Number.NaN, -1, 2 ** 32]) {
			refuses(/is not a generation/, () => nftables.transact([{ do: "add table", table }], { generation }));
		}
	});
});

describe("a statement is refused", () => {
	it("with a number beside the bits of its field", () => {
		for (const value of [64, -1, 1.5, Number.NaN]) {
			refuses(/from 0 to 63/, () => match(field("ip dscp"), "==", value));
			refuses(/from 0 to 63/, () => assign(field("ip dscp"), value));
		}
		refuses(/from 0 to 65535/, () => assign(field("tcp dport"), 65536));
		refuses(/9-5 ends before/, () => match(field("tcp dport"), "==", { first: 9, last: 5 }));
		refuses(/9-5 ends before/, () => match(field("tcp dport"), "==", { anyOf: [{ first: 9, last: 5 }] }));
	});

	it("with bytes of another length than its field's", () => {
		refuses(/2 bytes, where 4/, () => match(field("ip daddr"), "==", bytes(10, 0)));
		refuses(/3 bytes, where 4/, () => match(field("ip daddr"), "==", { oneOf: [bytes(1, 2, 3)] }));
		refuses(/16 bytes, where 4/, () => assign(field("ip daddr"), new Uint8Array(16)));
		refuses(/33 bits, not 1 to 32/, () =>
			match(field("ip daddr"), "==", { prefix: bytes(1, 2, 3, 4), length: 33 }),
		);
		refuses(/16 bytes, not 1 to 15/, () =>
			match(meta("iifname"), "==", { name: "x".repeat(16), wildcard: false }),
		);
	});

	it("but an address may have bits after its prefix, which are not compared", () => {
		const prefix = (last: number): readonly Expression[] =>
			match(field("ip daddr"), "==", { prefix: bytes(10, last, 0, 0), length: 12 });
		assert.deepEqual(prefix(0xff), prefix(0xf0));
	});
});
