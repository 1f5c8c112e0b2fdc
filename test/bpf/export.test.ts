import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** What a user of the library would write, in plain JavaScript. */
const SCRIPT = `
import { asm, Program, testRun } from "l3dsr/bpf";
const spec = {
	name: "seven",
	type: "BPF_PROG_TYPE_SCHED_CLS",
	license: "GPL",
	maps: [],
	instructions: [asm.mov.imm(0, 7), asm.exit()],
};
const program = Program.load(spec);
console.log(testRun(program, { data: new Uint8Array(64) }).verdict);
program[Symbol.dispose]();
`;

test("l3dsr/bpf is a library that plain Node imports by its name (built by make setup)", () => {
	const args = ["--input-type=module", "-e", SCRIPT];
	assert.equal(execFileSync(process.execPath, args, { cwd: root, encoding: "utf8" }), "7\n");
});
