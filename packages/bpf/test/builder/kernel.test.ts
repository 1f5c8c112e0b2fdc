import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { runs } from "../../../../test/support/property-runs.ts";
import * as bpf from "../../src/index.ts";

failOnLeaks();

const FRAME = Uint8Array.from({ length: 64 }, (_, n) => (n === 12 ? 0x88 : n === 13 ? 0xb5 : n * 7));

/** One operation on bigints of `bits` bits, as the instruction set's document defines it. */
const MODEL = {
	add: (a: bigint, b: bigint) => a + b,
	sub: (a: bigint, b: bigint) => a - b,
	mul: (a: bigint, b: bigint) => a * b,
	div: (a: bigint, b: bigint) => (b === 0n ? 0n : a / b),
	mod: (a: bigint, b: bigint) => (b === 0n ? a : a % b),
	and: (a: bigint, b: bigint) => a & b,
	or: (a: bigint, b: bigint) => a | b,
	xor: (a: bigint, b: bigint) => a ^ b,
} as const;
type Operation = keyof typeof MODEL;

function run(build: (p: bpf.ProgramBuilder) => void, data = FRAME): bpf.TestRunOutput {
	const p = new bpf.ProgramBuilder({ name: "t", type: "BPF_PROG_TYPE_SCHED_CLS" });
	build(p);
	using program = bpf.Program.load(p.build());
	return bpf.testRun(program, { data });
}

test("arithmetic on constants and values has the defined result in the kernel", () => {
	const operations = fc.array(
		fc.record({
			operation: fc.constantFrom(...(Object.keys(MODEL) as Operation[])), // the keys of MODEL
			operand: fc.oneof(fc.bigInt({ min: 1n, max: 300n }), fc.bigInt({ min: 1n, max: 2n ** 32n - 1n })),
			throughRegister: fc.boolean(),
		}),
		{ minLength: 1, maxLength: 12 },
	);
	const start = fc.bigInt({ min: 0n, max: 2n ** 32n - 1n });
	fc.assert(
		fc.property(fc.constantFrom(32, 64), start, operations, (bits, first, steps) => {
			let expected = first;
			const output = run((p) => {
				const value = (bits === 32 ? p.u32("value") : p.u64("value")).set(first);
				for (const { operation, operand, throughRegister } of steps) {
					expected = BigInt.asUintN(bits, MODEL[operation](expected, operand));
					using other = p.u64("other");
					value[operation](throughRegister ? other.set(operand) : operand);
				}
				using high = p.u64("high").set(value);
				high.rsh(32);
				p.exit(value.xor(high));
			});
			assert.equal(BigInt(output.verdict >>> 0), BigInt.asUintN(32, expected ^ (expected >> 32n)));
		}),
		{ numRuns: runs(60) },
	);
});

test("loads, stores and comparisons agree on the byte order of a field", () => {
	const packet = bpf.struct("packet", {
		header: { bytes: 14 },
		a: "be16",
		c: "be64",
		b: "be32",
		d: "u32",
		e: { bytes: 16 },
	});
	const address = Uint8Array.from({ length: 16 }, (_, n) => 255 - n);
	const output = run((p) => {
		const ctx = p.context(bpf.SKB);
		const wrong = p.label("wrong");
		const data = p.load(ctx.data, { name: "data" });
		const end = p.load(ctx.data_end, { name: "end" });
		p.prove(data, packet.bytes, end, wrong);
		const fields = bpf.view(data, packet);
		p.store(fields.a, 0x0102);
		p.store(fields.b, 0x0a0b0c0d);
		p.store(fields.c, 0x0102_0304_f506_0708n);
		p.store(fields.d, 0x11223344);
		p.storeBytes(fields.e, address);
		p.gotoIf(fields.a, "!=", 0x0102, wrong);
		p.gotoIf(fields.b, "!=", 0x0a0b0c0d, wrong);
		p.gotoIf(fields.c, "!=", 0x0102_0304_f506_0708n, wrong);
		p.gotoUnlessBytes(fields.e, address, wrong);
		using b = p.load(fields.b).toHost();
		p.gotoUnless(b, ">", 0x0a0b0c0c, wrong);
		b.add(1);
		p.store(fields.b, b.toNetwork());
		p.exit(1);
		p.place(wrong);
		p.exit(0);
	});
	assert.equal(output.verdict, 1);
	assert.equal(
		Buffer.from(output.data.subarray(14, 48)).toString("hex"),
		["0102", "01020304f5060708", "0a0b0c0e", "44332211", Buffer.from(address).toString("hex")].join(""),
	);
});

/** The sum of 16-bit words in ones' complement. */
function onesComplementSum(words: readonly number[]): number {
	let sum = words.reduce((total, word) => total + word, 0);
	while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
	return sum;
}

test("a checksum follows every change of the packet, and never becomes 0", () => {
	const words = layoutOfWords(6);
	const word32 = fc.oneof(fc.constantFrom(0, 0xffff_ffff, 1, 0xffff_0000), fc.nat(0xffff_ffff));
	fc.assert(
		fc.property(
			fc.array(word32, { minLength: 6, maxLength: 6 }),
			word32,
			fc.boolean(),
			(numbers, next, folds) => {
				const frame = FRAME.slice();
				const view = new DataView(frame.buffer);
				for (const [index, number] of numbers.entries()) view.setUint32(16 + 4 * index, number, true);
				// The checksum makes the sum of all words 0xffff, which is zero.
				const halves = (at: number, length: number) =>
					Array.from({ length: length / 2 }, (_, index) => view.getUint16(at + 2 * index, true));
				const checksum = 0xffff - onesComplementSum(halves(16, 24));
				view.setUint16(14, checksum, true);
				const { verdict, data } = run((p) => {
					const ctx = p.context(bpf.SKB);
					const short = p.label("short");
					const packet = p.load(ctx.data, { name: "packet" });
					p.prove(packet, 40, ctx.data_end, short);
					const { checksum, words: all } = bpf.view(packet, words, 14);
					const change = p.load(bpf.part(all, 0, 4), { name: "change" }).raw(64);
					for (const offset of [4, 8, 12]) {
						using old = p.load(bpf.part(all, offset, 4));
						change.add(old);
					}
					// Four words become 0, but the first becomes `next`.
					for (const offset of [4, 8, 12]) p.store(bpf.part(all, offset, 4), 0);
					p.store(bpf.part(all, 0, 4), next);
					{
						using less = p.u32("less").set(0xffff_ffff - next);
						change.add(less);
					}
					const most = 5n * 0xffff_ffffn;
					if (folds) p.addToChecksum(checksum, p.fold(change, most));
					else p.addToChecksum(checksum, change, most);
					p.exit(1);
					p.place(short);
					p.exit(0);
				}, frame);
				assert.equal(verdict, 1);
				view.setUint32(16, next, true);
				for (const offset of [20, 24, 28]) view.setUint32(offset, 0, true);
				const after = new DataView(data.buffer, data.byteOffset).getUint16(14, true);
				// 0 and 0xffff are both zero in ones' complement.
				assert.equal(onesComplementSum([after, ...halves(16, 24)]) % 0xffff, 0);
				if (checksum !== 0) assert.notEqual(after, 0);
			},
		),
		{ numRuns: runs(80) },
	);
});

/** A 16-bit checksum followed by `count` 32-bit words. */
function layoutOfWords(count: number) {
	return bpf.struct("words", { checksum: "be16", words: { bytes: 4 * count } });
}

test("a loop that jumps back to its label is bounded for the verifier too", () => {
	const output = run((p) => {
		const sum = p.u32("sum").set(0);
		const n = p.u32("n").set(10);
		const again = p.label("again");
		p.place(again);
		sum.add(n);
		n.sub(1);
		p.gotoIf(n, "!=", 0, again);
		p.exit(sum);
	});
	assert.equal(output.verdict, 55);
});

test("a switch takes each number to its own case, in either byte order", () => {
	const p = new bpf.ProgramBuilder({ name: "t", type: "BPF_PROG_TYPE_SCHED_CLS" });
	const ctx = p.context(bpf.SKB);
	const short = p.label("short");
	const data = p.load(ctx.data, { name: "data" });
	const end = p.load(ctx.data_end, { name: "end" });
	p.prove(data, 16, end, short);
	const numbers = Array.from({ length: 40 }, (_, n) => n * 37);
	const { number } = bpf.view(data, bpf.struct("packet", { header: { bytes: 14 }, number: "be16" }));
	p.switch(
		number,
		numbers.map((value, n) => ({ values: [value, value + 1], body: () => p.exit(n + 1) })),
		() => p.exit(0),
	);
	p.place(short);
	p.exit(99);
	using program = bpf.Program.load(p.build());
	for (let value = 0; value < 40 * 37; value += 1) {
		const data = FRAME.slice();
		new DataView(data.buffer).setUint16(14, value);
		const expected = value % 37 < 2 ? Math.floor(value / 37) + 1 : 0;
		assert.equal(bpf.testRun(program, { data }).verdict, expected, `number ${value}`);
	}
});

test("an element beyond a map's memory is not touched, and those within are", () => {
	const memory: bpf.MapSpec = {
		name: "memory",
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: 28,
		maxEntries: 1,
	};
	// 12 bytes is not a power of two, so the offset is a product.
	const element = bpf.struct("element", { number: "u32", rest: { bytes: 8 } });
	const verdicts = [0, 1, 2, 0xffff_ffff].map((mark) => {
		const p = new bpf.ProgramBuilder({ name: "t", type: "BPF_PROG_TYPE_SCHED_CLS" });
		const none = p.label("none");
		const index = p.load(p.context(bpf.SKB).mark, { name: "index" });
		const found = p.element(memory, index, element, none, { offset: 4 });
		p.store(found.number, index);
		p.exit(1);
		p.place(none);
		p.exit(2);
		using program = bpf.Program.load(p.build());
		const context = bpf.SKB.encode({ mark });
		const { verdict } = bpf.testRun(program, { data: FRAME, context });
		const [value = new Uint8Array()] = program
			.map("memory")
			.entries()
			.map((entry) => entry.value);
		return [verdict, Buffer.from(value).readUInt32LE(16)];
	});
	assert.deepEqual(verdicts, [
		[1, 0],
		[1, 1],
		[2, 0],
		[2, 0],
	]);
});

test("a parked packet pointer comes back with its proof, and the kernel accepts it", () => {
	const { verdict } = run((p) => {
		const ctx = p.context(bpf.SKB);
		p.keep(ctx);
		const data = p.load(ctx.data, { name: "data", in: 7 });
		{
			using end = p.load(ctx.data_end, { name: "end" });
			const short = p.label("short");
			p.prove(data, 60, end, short);
			p.unlikely(ctx.len, "<", 60, () => p.exit(2));
			p.park(data);
			using seven = p.u64("seven", 7).set(7);
			p.store(ctx.mark, seven);
			p.release(seven);
			p.restore(data, 7);
			p.exit(p.load(bpf.part(bpf.whole(bpf.view(data, bpf.struct("all", { all: { bytes: 60 } }))), 52, 1)));
			p.place(short);
		}
		p.exit(3);
	});
	assert.equal(verdict, FRAME[52]);
});

test("fields stored together have the same values as fields stored one by one", () => {
	const fields = bpf.struct("fields", { a: "u16", b: "be16", c: "raw32" });
	for (const together of [true, false]) {
		const { data } = run((p) => {
			const ctx = p.context(bpf.SKB);
			const packet = p.load(ctx.data, { name: "data" });
			const end = p.load(ctx.data_end, { name: "end" });
			const short = p.label("short");
			p.prove(packet, 64, end, short);
			const target = bpf.view(packet, fields, 16);
			const c = p.load(
				bpf.part(bpf.whole(bpf.view(packet, bpf.struct("all", { all: { bytes: 60 } }))), 40, 4),
			);
			if (together) p.storeFields(target, { a: 0x0102, b: 0x0304, c });
			else {
				p.store(target.a, 0x0102);
				p.store(target.b, 0x0304);
				p.store(target.c, c);
			}
			p.place(short);
			p.exit(0);
		});
		assert.deepEqual([...data.subarray(16, 24)], [2, 1, 3, 4, ...FRAME.subarray(40, 44)]);
	}
});

test("compare-and-exchange replaces only the expected value, and returns the old one", () => {
	const word = bpf.struct("word", { value: "u64" });
	for (const [expected, left] of [
		[5, 9],
		[6, 5],
	] as const) {
		const { verdict } = run((p) => {
			const stack = p.stack("word", word);
			p.store(stack.value, 5);
			using nine = p.u64("nine", 6).set(9);
			p.release(p.context(bpf.SKB));
			const before = p.compareExchange(stack.value, expected, nine);
			const same = p.label("same");
			p.gotoIf(before, "==", 5, same);
			p.exit(99);
			p.place(same);
			p.release(before);
			p.exit(p.load(stack.value));
		});
		assert.equal(verdict, left);
	}
});
