import assert from "node:assert/strict";
import { Session } from "node:inspector";
import { test } from "node:test";
import { kernelHas } from "../../../test/support/kernel.ts";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns } from "../../../test/support/netns.ts";
import { add, exit, jlt, load, loadMapValue, mov, store } from "../src/asm/index.ts";
import { SKB, XDP } from "../src/builder/context.ts";
import { arrayKey, BpfMap } from "../src/map.ts";
import { Program } from "../src/program.ts";
import { encodeProgram, type MapSpec, type ProgramSpec } from "../src/spec.ts";
import { BPF_F_TEST, testRun } from "../src/test-run.ts";
import { countingSpec, SEEN, seen, TC_OK, verdictSpec, XDP_PASS } from "./programs.ts";

enterNetns();
failOnLeaks();

/** 60 bytes of a frame that is not IP, so the kernel does not parse it further. */
const FRAME = Uint8Array.from({ length: 60 }, (_, n) => (n === 12 ? 0x88 : n === 13 ? 0xb5 : n));

test("a program is loaded with its maps, run on a packet, and found by id, name and tag", () => {
	using program = Program.load(countingSpec("tc", TC_OK));
	assert.equal(program.info.name, "t_count");
	assert.match(program.info.tag, /^[0-9a-f]{16}$/);
	assert.deepEqual(program.info.mapIds, [program.map("t_seen").info.id]);
	const output = testRun(program, { data: FRAME });
	assert.equal(output.verdict, TC_OK);
	assert.deepEqual(output.data, FRAME);
	assert.deepEqual(seen(program.map("t_seen")), { runs: 1, firstByte: 0 });
	testRun(program, { data: FRAME, repeat: 99 });
	assert.equal(seen(program.map("t_seen")).runs, 100);
	assert.throws(() => program.map("t_other"), /without a map t_other/);

	using again = Program.open(program.info.id);
	assert.equal(again.info.tag, program.info.tag);
	const [map] = again.openMaps();
	using opened = map ?? BpfMap.create(SEEN);
	assert.equal(opened.info.name, "t_seen");
	assert.equal(seen(opened).runs, 100);
});

test("a program that takes long to verify is loaded while a profiler keeps sending signals", () => {
	const instructions = [
		mov.imm(0, 0),
		{ ...add.imm(0, 1), symbol: "again" },
		jlt.imm(0, 20_000, "again"),
		mov.imm(0, TC_OK),
		exit(),
	];
	const session = new Session();
	session.connect();
	session.post("Profiler.enable");
	session.post("Profiler.setSamplingInterval", { interval: 100 }); // microseconds
	session.post("Profiler.start");
	try {
		using program = Program.load({ ...verdictSpec("tc", TC_OK), instructions });
		assert.equal(testRun(program, { data: FRAME }).verdict, TC_OK);
	} finally {
		session.post("Profiler.stop");
		session.disconnect();
	}
});

test("the same instructions have the same tag, whatever their maps", () => {
	using one = Program.load(countingSpec("tc", TC_OK));
	using two = Program.load(countingSpec("tc", TC_OK, "t_other_name"));
	using other = Program.load(countingSpec("tc", 1));
	assert.equal(one.info.tag, two.info.tag);
	assert.notEqual(one.info.tag, other.info.tag);
});

test("an existing map is used instead of a new one, and stays open", () => {
	using counters = BpfMap.create(SEEN);
	{
		using first = Program.load(countingSpec("tc", TC_OK), { maps: new Map([["t_seen", counters]]) });
		testRun(first, { data: FRAME });
	}
	using second = Program.load(countingSpec("tc", TC_OK), { maps: new Map([["t_seen", counters]]) });
	testRun(second, { data: FRAME });
	assert.equal(seen(counters).runs, 2);
	assert.deepEqual(second.info.mapIds, [counters.info.id]);
});

test("a map that no instruction names is bound to the program", () => {
	const note: MapSpec = {
		name: "t_note",
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: 4,
		maxEntries: 1,
		contents: [{ key: arrayKey(0), value: Buffer.from("note") }],
		frozen: true,
	};
	using program = Program.load({ ...verdictSpec("tc", TC_OK), maps: [note] });
	using again = Program.open(program.info.id);
	const [map] = again.openMaps();
	assert.ok(map !== undefined);
	using opened = map;
	assert.deepEqual(Buffer.from(opened.lookup(arrayKey(0)) ?? []).toString(), "note");
});

// Linux 5.15 takes a context for XDP; no feature tells that, so ask for the next newer one.
test("an XDP program sees its context and returns its verdict", {
	skip: !kernelHas("testRunLiveFrames") && "this kernel takes no context for XDP",
}, () => {
	using program = Program.load(verdictSpec("xdp", XDP_PASS));
	const context = XDP.encode({ data_end: FRAME.length });
	const output = testRun(program, { data: FRAME, context });
	assert.equal(output.verdict, XDP_PASS);
	assert.equal(XDP.decode(output.context).data_end, FRAME.length);
	assert.ok(output.durationNs >= 0);
});

test("a tc program reads and writes its context", () => {
	const instructions = [load(4, 2, 1, 8), add.imm(2, 1), store(4, 1, 8, 2), mov.imm(0, 0), exit()];
	using program = Program.load({ ...verdictSpec("tc", TC_OK), instructions });
	const output = testRun(program, { data: FRAME, context: SKB.encode({ mark: 41 }) });
	assert.equal(SKB.decode(output.context).mark, 42);
});

test("a program that breaks CHECKSUM_COMPLETE is detected", {
	skip: !kernelHas("testRunChecksumComplete") && "this kernel does not check it in a test-run",
}, () => {
	const ip = Buffer.from("450000280001000040060000c0000201c6336407", "hex");
	const data = Buffer.concat([Buffer.alloc(12), Buffer.from([8, 0]), ip, Buffer.alloc(20)]);
	const flags = BPF_F_TEST.BPF_F_TEST_SKB_CHECKSUM_COMPLETE;
	using good = Program.load(verdictSpec("tc", TC_OK));
	assert.equal(testRun(good, { data, flags }).verdict, TC_OK);
	// Writes one byte of the transport header without updating skb->csum.
	const spec: ProgramSpec = {
		...countingSpec("tc", TC_OK),
		maps: [],
		instructions: [
			load(4, 2, 1, 76),
			load(4, 3, 1, 80),
			mov.reg(4, 2),
			add.imm(4, 54),
			{ opcode: 0x2d, dst: 4, src: 3, offset: 2, immediate: 0 },
			mov.imm(5, 0x55),
			store(1, 2, 40, 5),
			mov.imm(0, 0),
			exit(),
		],
	};
	using bad = Program.load(spec);
	assert.equal(testRun(bad, { data }).data[40], 0x55);
	assert.throws(() => testRun(bad, { data, flags }), { code: "SYSCALL", message: /EBADMSG/ });
});

test("a program that is gone cannot be opened, and a closed one cannot be used", () => {
	const program = Program.load(verdictSpec("tc", TC_OK));
	const { id } = program.info;
	program[Symbol.dispose]();
	program[Symbol.dispose]();
	assert.throws(() => testRun(program, { data: FRAME }), /program t_verdict is closed/);
	assert.throws(() => Program.open(id), {
		code: "SYSCALL",
		message: `open program ${id}: ENOENT (no such file or directory)`,
	});
});

test("an encoded program is loaded again and again, each time with other contents of its maps", () => {
	const table = (verdict: number): MapSpec => ({
		name: "t_table",
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: 8,
		maxEntries: 1,
		contents: [{ key: arrayKey(0), value: Uint8Array.of(0, 0, 0, 0, verdict, 0, 0, 0) }],
	});
	const encoded = encodeProgram({
		name: "t_encoded",
		type: "BPF_PROG_TYPE_SCHED_CLS",
		license: "GPL",
		instructions: [loadMapValue(1, "t_table", 4), load(4, 0, 1, 0), exit()],
		maps: [table(0)],
	});
	for (const verdict of [1, 2]) {
		using program = Program.load({ ...encoded, maps: [table(verdict)] });
		assert.equal(testRun(program, { data: FRAME }).verdict, verdict);
	}
});

test("a refused program without its instructions is an error of the system call, without a reason", () => {
	const spec: ProgramSpec = {
		name: "t_refused",
		type: "BPF_PROG_TYPE_SCHED_CLS",
		license: "GPL",
		instructions: [exit()],
		maps: [],
	};
	const encoded = encodeProgram(spec);
	assert.throws(() => Program.load(encoded), { name: "VerifierError", message: /R0 !read_ok/ });
	const { instructions: _, ...bare } = encoded;
	assert.throws(() => Program.load(bare), { name: "SyscallError", message: /load program t_refused: / });
	assert.throws(() => encodeProgram({ ...spec, instructions: [loadMapValue(1, "t_none", 0), exit()] }), {
		code: "BUILD",
		message: /no map t_none/,
	});
});
