import assert from "node:assert/strict";
import { test } from "node:test";
import { kernelHas } from "../../../test/support/kernel.ts";
import { failOnLeaks } from "../../../test/support/leak.ts";
import * as bpf from "../src/index.ts";

failOnLeaks();

const skip = !kernelHas("kernelContext") && "this kernel does not tell of its types";

test("one question finds functions and fields of the kernel; those that it lacks are undefined", {
	skip,
}, () => {
	const { functions, fields } = bpf.lookUpKernelTypes({
		functions: ["bpf_cast_to_kern_ctx", "bpf_no_such_function"],
		fields: [
			{ structure: "sk_buff", field: "len" },
			{ structure: "sk_buff", field: "ip_summed" },
			{ structure: "sk_buff", field: "no_such_field" },
			{ structure: "no_such_structure", field: "len" },
		],
	});
	assert.ok((functions[0] ?? 0) > 0);
	assert.equal(functions[1], undefined);
	const [length, summed, ...missing] = fields;
	assert.equal(length?.bits, 32);
	assert.equal(length?.shift, 0);
	assert.equal(summed?.bits, 2);
	assert.equal(summed?.bytes, 1);
	assert.deepEqual(missing, [undefined, undefined]);
});

test("a question without fields needs no types, and one without functions needs no function", {
	skip,
}, () => {
	assert.equal(bpf.lookUpKernelTypes({ functions: ["bpf_cast_to_kern_ctx"] }).fields.length, 0);
	const { fields } = bpf.lookUpKernelTypes({ fields: [{ structure: "sk_buff", field: "mark" }] });
	assert.equal(fields[0]?.bytes, 4);
});

test("a name that is not a C identifier is refused before the kernel is asked", () => {
	for (const name of ["", "a b", "x".repeat(128)])
		assert.throws(() => bpf.lookUpKernelTypes({ functions: [name] }), {
			code: "BUILD",
			message: /is not a C identifier/,
		});
});

test("a program reads a field of a kernel structure at the place that was found", { skip }, () => {
	const { functions, fields } = bpf.lookUpKernelTypes({
		functions: ["bpf_cast_to_kern_ctx"],
		fields: [
			{ structure: "sk_buff", field: "len" },
			{ structure: "sk_buff", field: "ip_summed" },
		],
	});
	const [id] = functions;
	const [length, summed] = fields;
	assert.ok(id !== undefined && length !== undefined && summed !== undefined);
	const p = new bpf.ProgramBuilder({ name: "t", type: "BPF_PROG_TYPE_SCHED_CLS" });
	const skb = p.callKernelFunction({ name: "bpf_cast_to_kern_ctx", id }, [p.context(bpf.SKB)], "skb");
	const state = p.loadKernelField(skb, summed, "ip_summed");
	state.lsh(16);
	const bytes = p.loadKernelField(skb, length, "len");
	p.exit(state.or(bytes));
	using program = bpf.Program.load(p.build());
	const data = new Uint8Array(64);
	const CHECKSUM_COMPLETE = 2;
	assert.equal(bpf.testRun(program, { data }).verdict, 64);
	if (!kernelHas("testRunChecksumComplete")) return;
	const flags = bpf.BPF_F_TEST.BPF_F_TEST_SKB_CHECKSUM_COMPLETE;
	assert.equal(bpf.testRun(program, { data, flags }).verdict, (CHECKSUM_COMPLETE << 16) | 64);
});
