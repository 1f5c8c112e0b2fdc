import assert from "node:assert/strict";
import { test } from "node:test";
import { possibleCpus } from "@l3dsr/linux";
import { failOnLeaks } from "../../../test/support/leak.ts";
import * as bpf from "../src/index.ts";

failOnLeaks();

const KEY = bpf.struct("key", { port: "be16", protocol: "u8", _pad: "u8" });
const COUNTER = bpf.struct("counter", { packets: "u64", bytes: "u64" });
const FLOWS = bpf.mapSpec({
	name: "flows",
	type: "BPF_MAP_TYPE_HASH",
	key: KEY,
	value: COUNTER,
	maxEntries: 8,
	contents: [{ key: { port: 53, protocol: 17 }, value: { packets: 1 } }],
});

test("a typed map accepts and returns values", () => {
	using map = bpf.TypedMap.create(FLOWS);
	assert.deepEqual(map.lookup({ port: 53, protocol: 17 }), { packets: 1n, bytes: 0n });
	map.update({ port: 443, protocol: 6 }, { packets: 2n, bytes: 120 });
	assert.equal(map.lookup({ port: 443, protocol: 17 }), undefined);
	assert.deepEqual(
		map.entries().find(({ key }) => key.port === 443),
		{ key: { port: 443, protocol: 6, _pad: 0 }, value: { packets: 2n, bytes: 120n } },
	);
	assert.equal(map.delete({ port: 443, protocol: 6 }), true);
	map.updateAll([
		{ key: { port: 1 }, value: {} },
		{ key: { port: 2 }, value: {} },
	]);
	map.deleteAll([{ port: 1 }, { port: 2 }, { port: 3 }]);
	assert.equal(map.entries().length, 1);
});

test("a program and user space share one declaration of key, value and context", () => {
	const p = new bpf.ProgramBuilder({ name: "t", type: "BPF_PROG_TYPE_SCHED_CLS" });
	const ctx = p.context(bpf.SKB);
	p.keep(ctx);
	const key = p.stack("key", KEY);
	p.clear(key);
	p.store(key.port, 53);
	p.store(key.protocol, 17);
	const none = p.label("none");
	{
		using entry = p.lookup(FLOWS, key, none);
		const counter = bpf.view(entry, COUNTER);
		p.increment(counter.packets, 1);
		p.increment(counter.bytes, ctx.len);
	}
	p.place(none);
	p.exit(0);
	using program = bpf.Program.load(p.build());
	bpf.testRun(program, { data: new Uint8Array(64), context: bpf.SKB.encode({ mark: 1 }) });
	const flows = program.map(FLOWS);
	assert.deepEqual(flows.lookup({ port: 53, protocol: 17 }), { packets: 2n, bytes: 64n });
});

test("a per-CPU map returns one value for each CPU", () => {
	const spec = bpf.mapSpec({
		name: "per_cpu",
		type: "BPF_MAP_TYPE_PERCPU_ARRAY",
		key: bpf.U32,
		value: bpf.U64,
		maxEntries: 2,
	});
	using map = bpf.TypedMap.create(spec);
	map.update(1, 7n);
	assert.deepEqual(
		map.lookup(1),
		Array.from({ length: possibleCpus() }, () => 7n),
	);
	assert.deepEqual(
		map.entries().map(({ key }) => key),
		[0, 1],
	);
});

test("a map whose keys or values have another size is refused", () => {
	using map = bpf.BpfMap.create({ ...FLOWS, keySize: 8, contents: [] });
	assert.throws(() => new bpf.TypedMap(map, FLOWS), {
		message: "map flows has keys of 8 bytes and values of 16, not 4 and 16",
	});
});

test("the memory of a map that programs only read cannot be mapped writable", () => {
	const { BPF_F_MMAPABLE, BPF_F_RDONLY_PROG } = bpf.BPF_MAP_FLAG;
	using map = bpf.BpfMap.create({
		name: "constant",
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: 8,
		maxEntries: 1,
		flags: BPF_F_MMAPABLE | BPF_F_RDONLY_PROG,
	});
	assert.throws(() => map.mapMemory({ writable: true }), { code: "BUILD", message: /BPF_F_RDONLY_PROG/ });
	using memory = map.mapMemory();
	assert.equal(memory.bytes[0], 0);
});

test("a tail call runs the array's program, and continues if the slot is empty", () => {
	const verdict = (name: string, result: number) => {
		const p = new bpf.ProgramBuilder({ name, type: "BPF_PROG_TYPE_SCHED_CLS" });
		p.exit(result);
		return bpf.Program.load(p.build());
	};
	using programs = bpf.ProgramArray.create("programs", 4);
	const p = new bpf.ProgramBuilder({ name: "first", type: "BPF_PROG_TYPE_SCHED_CLS" });
	const index = p.load(p.context(bpf.SKB).mark, { name: "index" });
	p.tailCall(bpf.programArraySpec("programs", 4), index, p.context(bpf.SKB));
	p.exit(9);
	using first = bpf.Program.load(p.build(), { maps: new Map([["programs", programs.map]]) });
	using second = verdict("second", 5);
	programs.set(2, second);
	assert.equal(programs.get(2), second.info.id);
	const run = (mark: number) =>
		bpf.testRun(first, { data: new Uint8Array(64), context: bpf.SKB.encode({ mark }) }).verdict;
	assert.deepEqual([run(2), run(1), run(400)], [5, 9, 9]);
	assert.equal(programs.clear(2), true);
	assert.deepEqual([run(2), programs.get(2)], [9, undefined]);
});
