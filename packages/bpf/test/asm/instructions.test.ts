import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import fc from "fast-check";
import * as asm from "../../src/asm/index.ts";
import { BpfError } from "../../src/error.ts";
import { ALU, BEYOND_LLVM_14, JUMPS, MEMORY, type Row } from "./instruction-table.ts";

const noMaps = () => assert.fail("no map is referred to");

function toHex(bytes: Uint8Array): string {
	return Buffer.from(bytes).toString("hex");
}

function rejects(code: string, message: RegExp) {
	return (error: unknown) => {
		assert.ok(error instanceof BpfError);
		assert.equal(error.code, code);
		assert.match(error.message, message);
		return true;
	};
}

describe("instructions", () => {
	for (const [instruction, text, hex] of [...ALU, ...JUMPS, ...MEMORY, ...BEYOND_LLVM_14]) {
		it(`encodes ${text}`, () => {
			assert.equal(toHex(asm.encodeInstructions([instruction], noMaps)), hex);
			assert.equal(asm.formatInstruction(instruction), text);
			const [decoded, ...more] = asm.decodeInstructions(Buffer.from(hex, "hex"));
			assert.ok(decoded);
			assert.equal(asm.formatInstruction(decoded), text);
			assert.deepEqual(more, []);
		});
	}

	it("read the same in LLVM's disassembler", () => {
		// llvm-mc's output is stored, so the check needs no LLVM; UPDATE_GOLDEN=1 runs llvm-mc if it is
		// installed.
		const golden = new URL("../golden/llvm-mc.txt", import.meta.url);
		const rows: readonly Row[] = [...ALU, ...JUMPS, ...MEMORY];
		if (process.env["UPDATE_GOLDEN"] !== undefined) {
			const input = rows.map(([, , hex]) => hex.replace(/../g, "0x$& ")).join("\n");
			const run = spawnSync("llvm-mc", ["--disassemble", "-triple=bpfel"], { input, encoding: "utf8" });
			if (run.error === undefined) {
				assert.equal(run.status, 0, run.stderr);
				writeFileSync(golden, run.stdout.replace(/^\s*\.text\n/, "").replace(/^\t/gm, ""));
			}
		}
		const theirs = readFileSync(golden, "utf8").trimEnd().split("\n");
		// LLVM prints numbers in decimal and helpers by number.
		const ours = rows.map(([instruction]) =>
			asm
				.formatInstruction(instruction)
				.replace(/0x[0-9a-f]+/g, (number) => BigInt.asIntN(64, BigInt(number)).toString())
				.replace(/bpf_\w+#/, ""),
		);
		assert.deepEqual(ours, theirs);
	});

	it("are the same after encoding and decoding, whatever their bits", () => {
		const register = fc.integer({ min: 0, max: 10 });
		const slot = fc.record(
			{
				opcode: fc.integer({ min: 0, max: 255 }).filter((opcode) => opcode !== 0x18),
				dst: register,
				src: fc.integer({ min: 0, max: 15 }),
				offset: fc.integer({ min: -0x8000, max: 0x7fff }),
				immediate: fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
			},
			{ noNullPrototype: true },
		);
		const wide = fc.record(
			{
				opcode: fc.constant(0x18),
				dst: register,
				src: fc.integer({ min: 0, max: 15 }),
				offset: fc.integer({ min: -0x8000, max: 0x7fff }),
				immediate: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
			},
			{ noNullPrototype: true },
		);
		fc.assert(
			fc.property(fc.array(fc.oneof(slot, wide)), (program) => {
				const instructions = program as asm.Instruction[]; // dst is drawn from the range of Register
				const bytes = asm.encodeInstructions(instructions, noMaps);
				assert.deepEqual(asm.decodeInstructions(bytes), instructions);
			}),
		);
	});

	it("are decoded from any bytes, or refused with a typed error", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
				try {
					const instructions = asm.decodeInstructions(bytes);
					for (const instruction of instructions) assert.ok(asm.formatInstruction(instruction).length > 0);
				} catch (error) {
					assert.ok(error instanceof BpfError && error.code === "BUILD");
				}
			}),
		);
	});
});

describe("labels", () => {
	it("count slots: a 64-bit immediate between jump and label counts twice", () => {
		const program = [
			asm.jeq.imm(1, 0, "out"),
			asm.loadImm64(2, 5n),
			{ ...asm.exit(), symbol: "out" },
			asm.ja("out"),
		];
		const bytes = asm.encodeInstructions(program, noMaps);
		const [first, , , last] = asm.decodeInstructions(bytes);
		assert.equal(first?.offset, 2);
		assert.equal(last?.offset, -2);
	});

	it("put the distance of a subprogram call into its immediate", () => {
		const program = [
			asm.callSubprogram("add"),
			asm.exit(),
			{ ...asm.mov.imm(0, 1), symbol: "add" },
			asm.exit(),
		];
		const [call] = asm.decodeInstructions(asm.encodeInstructions(program, noMaps));
		assert.deepEqual([call?.src, call?.immediate, call?.offset], [1, 1, 0]);
	});

	it("must exist exactly once", () => {
		assert.throws(
			() => asm.encodeInstructions([asm.ja("nowhere")], noMaps),
			rejects("BUILD", /no label nowhere/),
		);
		const twice = { ...asm.exit(), symbol: "out" };
		assert.throws(
			() => asm.encodeInstructions([twice, twice], noMaps),
			rejects("BUILD", /label out is given twice/),
		);
	});
});

describe("encodeInstructions", () => {
	it("replaces maps by descriptors and value offsets", () => {
		const program = [asm.loadMap(1, "counters"), asm.loadMapValue(2, "table", 24)];
		const bytes = asm.encodeInstructions(program, ({ name }) => (name === "table" ? 5 : 4));
		assert.equal(toHex(bytes), "18110000040000000000000000000000" + "18220000050000000000000018000000");
	});

	it("refuses numbers that do not fit their field", () => {
		assert.throws(
			() => asm.encodeInstructions([asm.load(4, 1, 2, 40_000)], noMaps),
			rejects("BUILD", /offset 40000 .* does not fit 16 bits/),
		);
		assert.throws(
			() => asm.encodeInstructions([asm.mov.imm(1, 2 ** 33)], noMaps),
			rejects("BUILD", /does not fit 32 bits/),
		);
	});
});

describe("formatListing", () => {
	it("shows offsets in slots, bytes, labels, comments and notes", () => {
		const listing = asm.formatListing([
			{ ...asm.loadMap(1, "counters"), comment: "count it", note: "counters" },
			asm.jeq.imm(1, 0, "out"),
			{ ...asm.mov.imm(0, 0), note: "result = 0" },
			{ ...asm.exit(), symbol: "out", comment: "leave" },
		]);
		assert.equal(
			listing,
			`; count it
   0  18 11 00 00 00 00 00 00  r1 = map counters                       ; counters
   1  00 00 00 00 00 00 00 00
   2  15 01 01 00 00 00 00 00  if r1 == 0 goto out (+1)
   3  b7 00 00 00 00 00 00 00  r0 = 0                                  ; result = 0
out:
; leave
   4  95 00 00 00 00 00 00 00  exit
`,
		);
	});
});
