import assert from "node:assert/strict";
import { test } from "node:test";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import * as asm from "../../src/asm/index.ts";
import { Program } from "../../src/program.ts";
import { testRun } from "../../src/test-run.ts";

failOnLeaks();

const { add, call, callSubprogram, exit, mov, store, storeImm } = asm;

/** Results in the kernel of the instructions that LLVM 14 cannot check. */
const CASES: readonly (readonly [title: string, instructions: readonly asm.Instruction[], r0: number])[] = [
	["s/=", [mov.imm(0, -7), asm.sdiv.imm(0, 2), exit()], -3],
	["s%=", [mov.imm32(0, -7), asm.smod.imm32(0, 4), exit()], -3],
	["%=", [mov.imm(0, 71), asm.mod.imm(0, 64), exit()], 7],
	["(s8)", [mov.imm(1, 0x1ff), asm.movsx(8, 0, 1), exit()], -1],
	["(s16) to 32 bits", [mov.imm(1, 0x8000), asm.movsx32(16, 0, 1), exit()], -0x8000],
	["bswap32", [mov.imm(0, 0x01020304), asm.byteSwap(32, 0), exit()], 0x04030201],
	["a signed load", [storeImm(2, 10, -2, 0xfffe), asm.loadSigned(2, 0, 10, -2), exit()], -2],
	["a store of 8 bytes", [storeImm(8, 10, -8, -5), asm.load(4, 0, 10, -4), exit()], -1],
	["a jump on bits", [mov.imm(0, 6), asm.jset.imm(0, 2, 1), mov.imm(0, 9), exit()], 6],
	[
		"gotol",
		[
			mov.imm(0, 1),
			asm.jeq.imm(0, 2, "two"),
			asm.ja32("out"),
			{ ...mov.imm(0, 2), symbol: "two" },
			{ ...exit(), symbol: "out" },
		],
		1,
	],
	[
		"lock &=",
		[
			storeImm(8, 10, -8, 0xff),
			mov.imm(1, 0x3c),
			asm.atomicAnd(8, 10, -8, 1),
			asm.load(8, 0, 10, -8),
			exit(),
		],
		0x3c,
	],
	[
		"cmpxchg",
		[
			storeImm(8, 10, -8, 5),
			mov.imm(0, 5),
			mov.imm(1, 6),
			asm.atomicCompareExchange(8, 10, -8, 1),
			asm.load(8, 1, 10, -8),
			add.reg(0, 1),
			exit(),
		],
		11,
	],
	[
		"a subprogram",
		[
			mov.imm(1, 20),
			callSubprogram("double"),
			exit(),
			{ ...mov.reg(0, 1), symbol: "double" },
			add.reg(0, 0),
			exit(),
		],
		40,
	],
	["a helper", [store(8, 10, -8, 1), call(asm.HELPER_FUNCTIONS.bpf_jiffies64.id), mov.imm(0, 3), exit()], 3],
];

for (const [title, instructions, r0] of CASES) {
	test(`the kernel runs ${title} as its pseudo-C says`, (t) => {
		using program = Program.load({
			name: "t",
			type: "BPF_PROG_TYPE_SCHED_CLS",
			license: "GPL",
			maps: [],
			instructions,
		});
		assert.equal(testRun(program, { data: new Uint8Array(64) }).verdict | 0, r0, t.name);
	});
}
