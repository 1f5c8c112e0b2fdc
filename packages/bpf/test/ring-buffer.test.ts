import assert from "node:assert/strict";
import { test } from "node:test";
import { ifIndexOf, interfaceByName } from "@l3dsr/linux";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns } from "../../../test/support/netns.ts";
import { add, call, exit, HELPER_FUNCTIONS, load, loadMap, mov, store } from "../src/asm/index.ts";
import { tcxIngress } from "../src/attach/tcx.ts";
import { TcxLink } from "../src/attach/tcx-link.ts";
import { SKB } from "../src/builder/context.ts";
import { Program } from "../src/program.ts";
import { RingBuffer, recordBytes, ringBufferSpec } from "../src/ring-buffer.ts";
import type { ProgramSpec } from "../src/spec.ts";
import { testRun } from "../src/test-run.ts";
import { verdictSpec } from "./programs.ts";

enterNetns();
failOnLeaks();

const RING = ringBufferSpec("ring", 4096);
const RECORD_BYTES = 12;

/** Sends the packet's mark three times as one record; its verdict is the helper's result. */
const SENDER: ProgramSpec = {
	name: "sender",
	type: "BPF_PROG_TYPE_SCHED_CLS",
	license: "GPL",
	maps: [RING],
	instructions: [
		load(4, 2, 1, SKB.offsetOf("mark")),
		store(4, 10, -12, 2),
		store(4, 10, -8, 2),
		store(4, 10, -4, 2),
		loadMap(1, "ring"),
		mov.reg(2, 10),
		add.imm(2, -12),
		mov.imm(3, RECORD_BYTES),
		mov.imm(4, 0),
		call(HELPER_FUNCTIONS.bpf_ringbuf_output.id),
		exit(),
	],
};

function send(program: Program, mark: number): number {
	return testRun(program, { data: new Uint8Array(64), context: SKB.encode({ mark }) }).verdict;
}

function record(mark: number): Uint8Array {
	return new Uint8Array(Uint32Array.of(mark, mark, mark).buffer);
}

test("records arrive complete and in order, several times around the buffer", () => {
	using ring = RingBuffer.create(RING);
	using sender = Program.load(SENDER, { maps: new Map([["ring", ring.map]]) });
	let mark = 0;
	for (let round = 0; round < 10; round++) {
		const sent = Array.from({ length: 100 }, () => ++mark);
		for (const one of sent) assert.equal(send(sender, one), 0);
		const received: Uint8Array[] = [];
		assert.equal(
			ring.read((bytes) => received.push(bytes)),
			sent.length,
		);
		assert.deepEqual(received, sent.map(record));
	}
});

test("a full buffer refuses further records, and accepts them again once it has been read", () => {
	using ring = RingBuffer.create(RING);
	using sender = Program.load(SENDER, { maps: new Map([["ring", ring.map]]) });
	const fits = Math.floor(4096 / recordBytes(RECORD_BYTES));
	let accepted = 0;
	while (accepted <= fits && send(sender, accepted) === 0) accepted++;
	// The kernel never fills the last byte, because equal positions mean "empty".
	assert.ok(accepted === fits || accepted === fits - 1, `${accepted} of ${fits}`);
	const marks: number[] = [];
	const read = (bytes: Uint8Array) => marks.push(new DataView(bytes.buffer).getUint32(0, true));
	assert.equal(ring.read(read, 3), 3);
	assert.equal(send(sender, 4711), 0);
	ring.read(read);
	assert.deepEqual(marks, [...Array(accepted).keys(), 4711]);
	assert.equal(ring.read(read), 0);
});

test("a program attached by a link runs before another until the link is closed", () => {
	const on = interfaceByName("lo");
	using theirs = Program.load(verdictSpec("tc", 0, "theirs"));
	using ours = Program.load(verdictSpec("tc", -1, "ours"));
	tcxIngress.attach(on, theirs);
	const ids = () => tcxIngress.query(on).map(({ programId }) => programId);
	{
		using _link = TcxLink.attach(on, ours, { position: { before: theirs.info.id } });
		assert.deepEqual(ids(), [ours.info.id, theirs.info.id]);
		assert.notEqual(tcxIngress.query(on)[0]?.linkId, undefined);
		assert.equal(tcxIngress.query(on)[1]?.linkId, undefined);
	}
	assert.deepEqual(ids(), [theirs.info.id]);
	assert.throws(() => TcxLink.attach({ ...on, index: ifIndexOf(4711), name: "gone" }, ours), {
		message: /^link program ours to tcx ingress of gone: ENODEV/,
	});
});

test("a reader that waits gets records as they are sent, until its signal aborts", async () => {
	using ring = RingBuffer.create(RING);
	using sender = Program.load(SENDER, { maps: new Map([["ring", ring.map]]) });
	const controller = new AbortController();
	send(sender, 1);
	setTimeout(() => send(sender, 2), 10);
	setTimeout(() => send(sender, 3), 20);
	const received: Uint8Array[] = [];
	for await (const bytes of ring.records(controller.signal)) {
		received.push(bytes);
		if (received.length === 3) setTimeout(() => controller.abort(), 10);
	}
	assert.deepEqual(received, [record(1), record(2), record(3)]);
});

test("a reader that leaves the loop leaves nothing behind, and can start again", async () => {
	using ring = RingBuffer.create(RING);
	using sender = Program.load(SENDER, { maps: new Map([["ring", ring.map]]) });
	for (const mark of [7, 8]) {
		setTimeout(() => send(sender, mark), 5);
		for await (const bytes of ring) {
			assert.deepEqual(bytes, record(mark));
			break;
		}
	}
});
