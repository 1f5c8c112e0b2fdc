import assert from "node:assert/strict";
import { test } from "node:test";
import { ERRNO, SyscallError } from "@l3dsr/linux";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns } from "../../../test/support/netns.ts";
import { ExitLink, PROGRAM_EXIT } from "../src/attach/exit-link.ts";
import { XDP, XDP_ACTION } from "../src/builder/context.ts";
import { ETHERNET } from "../src/builder/headers.ts";
import { ProgramBuilder } from "../src/builder/program-builder.ts";
import { part, view } from "../src/builder/view.ts";
import { Program } from "../src/program.ts";
import { RingBuffer, ringBufferSpec } from "../src/ring-buffer.ts";
import { struct } from "../src/struct.ts";
import { testRun } from "../src/test-run.ts";
import { VerifierError } from "../src/verifier-log.ts";

enterNetns();
failOnLeaks();

const RING = ringBufferSpec("ring", 4096);
const EVENT = struct("event", { verdict: "u64", first: { bytes: 8 } });

/** Writes 7 into the first byte of the packet and sends it back. */
function target(traceable: boolean): Program {
	const p = new ProgramBuilder({ name: "target", type: "BPF_PROG_TYPE_XDP", traceable });
	const ctx = p.context(XDP);
	const pass = p.label("pass");
	const data = p.load(ctx.data, { name: "data" });
	const end = p.load(ctx.data_end, { name: "end" });
	p.prove(data, 14, end, pass);
	p.store(part(view(data, ETHERNET).destination, 0, 1), 7);
	p.exit(XDP_ACTION.TX);
	p.place(pass);
	p.exit(XDP_ACTION.PASS);
	return Program.load(p.build());
}

/** Sends the verdict and the first bytes of the resulting packet. */
function onlooker(ring: RingBuffer, traces: Program): Program {
	const p = new ProgramBuilder({
		name: "onlooker",
		type: "BPF_PROG_TYPE_TRACING",
		expectedAttachType: "BPF_TRACE_FEXIT",
	});
	const ctx = p.context(PROGRAM_EXIT);
	const event = p.stack("event", EVENT);
	p.clear(event);
	{
		using verdict = p.load(ctx.verdict);
		p.store(event.verdict, verdict);
	}
	// struct xdp_buff begins with the address of the packet.
	const buffer = p.stack("buffer", struct("buffer", { data: "u64" }));
	{
		using address = p.load(ctx.context);
		p.run("bpf_probe_read_kernel", [buffer, 8, address]);
	}
	{
		using data = p.load(buffer.data);
		p.run("bpf_probe_read_kernel", [event.first, 8, data]);
	}
	p.run("bpf_ringbuf_output", [p.map(RING), event, EVENT.bytes, 0]);
	p.exit(0);
	return Program.load(p.build(), { maps: new Map([["ring", ring.map]]), traces });
}

/** Why root may not use it here: a security policy of the host. `make test-kernels` runs this without one. */
function forbidden(): string | false {
	using ring = RingBuffer.create(RING);
	using traced = target(true);
	try {
		onlooker(ring, traced)[Symbol.dispose]();
		return false;
	} catch (error) {
		if (!(error instanceof SyscallError) || error.errno !== ERRNO.EPERM) throw error;
		if (process.env["L3DSR_REQUIRE_TRACING"] === "1") throw error;
		return `this host forbids to trace programs: ${error.message}`;
	}
}

test("a program at the exit of another one sees each verdict and the resulting packet", {
	skip: forbidden(),
}, () => {
	using ring = RingBuffer.create(RING);
	using traced = target(true);
	assert.equal(traced.info.isTraceable, true);
	using looking = onlooker(ring, traced);
	const seen: { verdict: bigint; first: number | undefined }[] = [];
	const read = () => {
		seen.length = 0;
		ring.read((record) => {
			const { verdict, first } = EVENT.decode(record);
			seen.push({ verdict: verdict & 0xffff_ffffn, first: first[0] });
		});
		return seen;
	};
	const frame = new Uint8Array(64).fill(1);
	assert.equal(testRun(traced, { data: frame }).verdict, XDP_ACTION.TX);
	assert.deepEqual(read(), [], "nothing before it is linked");
	{
		using _link = ExitLink.attach(looking);
		assert.equal(testRun(traced, { data: frame }).verdict, XDP_ACTION.TX);
		assert.equal(testRun(traced, { data: frame }).data[0], 7);
		assert.deepEqual(read(), [
			{ verdict: BigInt(XDP_ACTION.TX), first: 7 },
			{ verdict: BigInt(XDP_ACTION.TX), first: 7 },
		]);
	}
	testRun(traced, { data: frame });
	assert.deepEqual(read(), [], "nothing after it is gone");
});

test("a program that was loaded without its types works, and cannot be traced", () => {
	using ring = RingBuffer.create(RING);
	using plain = target(false);
	assert.equal(plain.info.isTraceable, false);
	assert.throws(
		() => onlooker(ring, plain),
		(error) => error instanceof SyscallError || error instanceof VerifierError,
	);
});
