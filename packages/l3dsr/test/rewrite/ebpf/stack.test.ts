/** Linux before 6.4 refuses a program that reads a byte of its stack which some path has not written. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { asm, ringBufferSpec } from "@l3dsr/bpf";
import { REPORT_MAP } from "../../../src/programs/report.ts";
import { compileProgram } from "../../../src/rewrite/ebpf/compile/compile.ts";
import { FIRST_RULE_SLOT } from "../../../src/rewrite/ebpf/compile/interface-rules.ts";
import { compileReport } from "../../../src/rewrite/ebpf/compile/report-program.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { HELPER_TC, OLD_TC, TC, XDP } from "./run.ts";

const { formatInstruction, HELPER_FUNCTIONS } = asm;
type Instruction = asm.Instruction;

/** Opcode classes and modes, instruction-set.rst. */
const [LD, LDX, ST, STX, JMP, JMP32] = [0, 1, 2, 3, 5, 6];
const SIZES = [4, 2, 1, 8] as const;
const FRAME_POINTER = 10;

/** For helpers: which argument points to memory that is read or written, and its size. */
const MEMORY: Readonly<Record<number, { reads?: [number, number | "r4"]; writes?: [number, "r4"] }>> = {
	[HELPER_FUNCTIONS.bpf_skb_load_bytes.id]: { writes: [3, "r4"] },
	[HELPER_FUNCTIONS.bpf_skb_store_bytes.id]: { reads: [3, "r4"] },
	[HELPER_FUNCTIONS.bpf_map_lookup_elem.id]: { reads: [2, 4] },
};

interface State {
	readonly written: ReadonlySet<number>;
	/** Registers that point to the stack, and those that hold a constant. */
	readonly pointers: ReadonlyMap<number, number>;
	readonly constants: ReadonlyMap<number, number>;
}

/** The first read of an unwritten byte, as text; undefined if there is none. */
function unwrittenRead(instructions: readonly Instruction[]): string | undefined {
	const indexOf = new Map(instructions.map(({ symbol }, index) => [symbol, index]));
	const known: (State | undefined)[] = [];
	const open: [number, State][] = [[0, { written: new Set(), pointers: new Map(), constants: new Map() }]];
	for (let next = open.pop(); next !== undefined; next = open.pop()) {
		const [at, arriving] = next;
		const before = known[at];
		const state = before === undefined ? arriving : meet(before, arriving);
		if (before !== undefined && sizeOf(before) === sizeOf(state)) continue;
		known[at] = state;
		const instruction = instructions[at];
		if (instruction === undefined) return `runs past the end at ${at}`;
		const after = step(instruction, state);
		if (typeof after === "string") return `${at}: ${formatInstruction(instruction)}: ${after}`;
		const operation = instruction.opcode & 0xf0;
		const jumps = [JMP, JMP32].includes(instruction.opcode & 7);
		if (jumps && operation === 0x90) continue;
		if (instruction.target !== undefined) open.push([indexOf.get(instruction.target) ?? -1, after]);
		if (!jumps || operation !== 0) open.push([at + 1, after]);
	}
	return undefined;
}

function sizeOf({ written, pointers, constants }: State): number {
	return written.size + pointers.size + constants.size;
}

function meet(a: State, b: State): State {
	const same = (x: ReadonlyMap<number, number>, y: ReadonlyMap<number, number>) =>
		new Map([...x].filter(([key, value]) => y.get(key) === value));
	return {
		written: new Set([...a.written].filter((byte) => b.written.has(byte))),
		pointers: same(a.pointers, b.pointers),
		constants: same(a.constants, b.constants),
	};
}

function step({ opcode, dst, src, offset, immediate }: Instruction, state: State): State | string {
	const written = new Set(state.written);
	const pointers = new Map(state.pointers).set(FRAME_POINTER, 0);
	const constants = new Map(state.constants);
	const kind = opcode & 7;
	const bytes = SIZES[(opcode >> 3) & 3] ?? 8;
	const lacking = (from: number, length: number) =>
		Array.from({ length }, (_, i) => from + i).find((byte) => !written.has(byte));
	const setTo = (register: number, pointer?: number, constant?: number) => {
		pointers.delete(register);
		constants.delete(register);
		if (pointer !== undefined) pointers.set(register, pointer);
		if (constant !== undefined) constants.set(register, constant);
	};
	if (kind === LDX) {
		const base = pointers.get(src);
		const lack = base === undefined ? undefined : lacking(base + offset, bytes);
		if (lack !== undefined) return `byte ${lack} is not written`;
		setTo(dst);
	} else if (kind === ST || kind === STX) {
		const base = pointers.get(dst);
		if (base !== undefined) for (let i = 0; i < bytes; i++) written.add(base + offset + i);
	} else if (kind === LD) {
		setTo(dst);
	} else if (kind === JMP && (opcode & 0xf0) === 0x80) {
		const { reads, writes } = MEMORY[Number(immediate)] ?? {};
		for (const [access, isRead] of [
			[reads, true],
			[writes, false],
		] as const) {
			if (access === undefined) continue;
			const base = pointers.get(access[0]);
			// A length that is not constant is at most the four bytes of an extension header, and at least
			// two.
			const length = access[1] === "r4" ? (constants.get(4) ?? 2) : access[1];
			if (base === undefined) continue;
			const lack = isRead ? lacking(base, length) : undefined;
			if (lack !== undefined) return `byte ${lack} is not written`;
			if (!isRead) for (let i = 0; i < length; i++) written.add(base + i);
		}
		for (const register of [0, 1, 2, 3, 4, 5]) setTo(register);
	} else if (kind === 4 || kind === 7) {
		const operation = opcode & 0xf0;
		const isMove = operation === 0xb0;
		const isRegister = (opcode & 8) !== 0;
		if (isMove && isRegister) setTo(dst, pointers.get(src), constants.get(src));
		else if (isMove) setTo(dst, undefined, Number(immediate));
		else if (operation === 0 && !isRegister && pointers.has(dst))
			setTo(dst, (pointers.get(dst) ?? 0) + Number(immediate));
		else setTo(dst);
	}
	return { written, pointers, constants };
}

const RULES = {
	"one address": ["--dscp 1 -j DADDR --set-daddr ADDRESS"],
	"DSCP cleared": [
		"--dscp 1 -j DADDR --set-daddr ADDRESS --clear-dscp",
		"--dscp 2 -j DADDR --set-daddr ADDRESS",
	],
	"port set": [
		"--dscp 1 -j DADDR --set-daddr ADDRESS --set-dport 80",
		"! --dscp 1 -j DADDR --set-daddr ADDRESS",
	],
	ports: ["--dscp 1 -p tcp -m tcp --dport 80 -j DADDR --set-daddr ADDRESS"],
	local: ["--dscp 1 -m addrtype --dst-type LOCAL -m length --length 0:99 -j DADDR --set-daddr ADDRESS"],
	protocol: [
		"--dscp 1 ! -p udp -j DADDR --set-daddr ADDRESS",
		"--dscp 1 -d ADDRESS -j DADDR --set-daddr ADDRESS",
	],
};

function slotted(rules: readonly string[]) {
	return (["ipv4", "ipv6"] as const).flatMap((family) =>
		rules.map((rule, index) => ({
			rule: parseRuleSpec(
				`-i eth0 -m dscp ${rule.replaceAll("ADDRESS", family === "ipv4" ? "198.51.100.5" : "2001:db8::5")}`,
				{ family, table: "raw", chain: "PREROUTING" },
			),
			ordinal: index,
			slot: FIRST_RULE_SLOT + index,
		})),
	);
}

for (const [what, rules] of Object.entries(RULES)) {
	test(`${what}: every byte of the stack that is read was written on every path`, () => {
		const set = { rules: slotted(rules), local: [] };
		for (const target of [TC, HELPER_TC, OLD_TC, XDP])
			assert.equal(unwrittenRead(compileProgram(set, target, 256).instructions), undefined);
		const report = { origin: 1, filter: {}, flows: true };
		const ring = ringBufferSpec(REPORT_MAP.ring, 4096);
		assert.equal(unwrittenRead(compileReport(set, 14, report, ring).instructions), undefined);
	});
}

test("a read of a byte that only one path has written is detected", () => {
	const { instructions } = compileProgram({ rules: slotted(RULES["one address"]), local: [] }, TC, 256);
	// Without the store of the length on the general path, its counter reads an unwritten byte.
	const length = instructions.findIndex(({ note }) => note === "stack.length = length");
	assert.ok(length > 0);
	assert.match(unwrittenRead(instructions.toSpliced(length, 1)) ?? "", /is not written/);
});
