import assert from "node:assert/strict";
import { test } from "node:test";
import { BPF_MAP_INFO, BPF_PROG_INFO, SKB, XDP } from "@l3dsr/bpf";
import { countCpus, possibleCpus } from "../src/cpu.ts";
import { Layout } from "../src/layout.ts";
import { addressOf } from "../src/libc.ts";

test("places fields by C's rule of alignment and rounds the size up", () => {
	const layout = new Layout({ a: "u8", b: "u32", c: { text: 3 }, d: "u64", e: "u16" });
	assert.deepEqual(
		(["a", "b", "c", "d", "e"] as const).map((name) => layout.offsetOf(name)),
		[0, 4, 8, 16, 24],
	);
	assert.equal(layout.size, 32);
});

test("has the sizes and offsets that a C compiler computes from linux/bpf.h", () => {
	assert.equal(BPF_PROG_INFO.size, 232);
	assert.equal(BPF_PROG_INFO.offsetOf("map_ids"), 56);
	assert.equal(BPF_PROG_INFO.offsetOf("jited_ksyms"), 112);
	assert.equal(BPF_PROG_INFO.offsetOf("verified_insns"), 216);
	assert.equal(BPF_MAP_INFO.size, 88);
	assert.equal(BPF_MAP_INFO.offsetOf("map_extra"), 80);
	assert.equal(SKB.size, 192);
	assert.equal(SKB.offsetOf("flow_keys"), 144);
	assert.equal(SKB.offsetOf("hwtstamp"), 184);
	assert.equal(XDP.size, 24);
});

test("encodes each type in its byte order and decodes it", () => {
	const layout = new Layout({
		u8: "u8",
		u16: "u16",
		be16: "be16",
		s32: "s32",
		be32: "be32",
		u64: "u64",
		pointer: "pointer",
		bytes: { bytes: 2 },
		text: { text: 6 },
	});
	const memory = new Uint8Array(8);
	const bytes = layout.encode({
		u8: 1,
		u16: 0x0203,
		be16: 0x0203,
		s32: -2,
		be32: 0x01020304,
		u64: 0xffff_ffff_ffff_ffffn,
		pointer: memory,
		bytes: Uint8Array.of(7, 8),
		text: "eth0",
	});
	assert.equal(
		Buffer.from(bytes.subarray(0, 24)).toString("hex"),
		"01000302020300" + "00feffffff01020304" + "ffffffffffffffff",
	);
	assert.deepEqual(layout.decode(bytes), {
		u8: 1,
		u16: 0x0203,
		be16: 0x0203,
		s32: -2,
		be32: 0x01020304,
		u64: 0xffff_ffff_ffff_ffffn,
		pointer: addressOf(memory),
		bytes: Uint8Array.of(7, 8),
		text: "eth0",
	});
});

test("reads fields past the end of an older kernel's structure as zero", () => {
	const layout = new Layout({ old: "u32", young: "u64" });
	assert.deepEqual(layout.decode(Uint8Array.of(5, 0, 0, 0)), { old: 5, young: 0n });
});

test("refuses text that does not fit its field", () => {
	const layout = new Layout({ name: { text: 4 } });
	assert.throws(() => layout.encode({ name: "eth10" }), /field name takes at most 4 bytes/);
});

test("counts the CPUs of a list with gaps", () => {
	assert.equal(countCpus("0\n"), 1);
	assert.equal(countCpus("0-3,8,10-11"), 7);
	assert.throws(() => countCpus("none"), { code: "SYSCALL" });
	assert.ok(possibleCpus() >= 1);
});
