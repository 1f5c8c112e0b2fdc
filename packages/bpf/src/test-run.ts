/**
 * BPF_PROG_TEST_RUN: runs a program on a packet and returns its verdict and the resulting packet, without an
 * interface.
 */
import { ERRNO, SyscallError } from "@l3dsr/linux";
import { bpf } from "./bpf-syscall.ts";
import type { Program } from "./program.ts";

/** Flags of a test-run, uapi/linux/bpf.h. */
export const BPF_F_TEST = {
	/** XDP: the frames are real, and go where the verdict sends them (Linux 5.18). */
	BPF_F_TEST_XDP_LIVE_FRAMES: 1 << 1,
	/**
	 * SCHED_CLS: the packet has a checksum (CHECKSUM_COMPLETE), which must be right afterwards, else EBADMSG.
	 */
	BPF_F_TEST_SKB_CHECKSUM_COMPLETE: 1 << 2,
} as const;

/** Space in the output for programs that make the packet longer (bpf_skb_adjust_room). */
const GROWTH_BYTES = 512;

export interface TestRunInput {
	/** The packet from its link-layer header; at least 14 bytes for SCHED_CLS and XDP. */
	readonly data: Uint8Array;
	/** SKB or XDP (Linux 5.15), encoded: the fields of the program's context. */
	readonly context?: Uint8Array;
	/**
	 * Number of runs (default 1). Each run of XDP and tc programs sees the packet that the previous one left.
	 */
	readonly repeat?: number;
	/** BPF_F_TEST bits. */
	readonly flags?: number;
}

export interface TestRunOutput {
	/** What the program returned: TC_ACT_* or XDP_*. */
	readonly verdict: number;
	readonly data: Uint8Array;
	/** The context after the run; empty if none was given. */
	readonly context: Uint8Array;
	/** The mean time of one run, in nanoseconds. */
	readonly durationNs: number;
}

/** Runs the program. Throws SyscallError: EBADMSG if it broke a packet's CHECKSUM_COMPLETE. */
export function testRun(program: Pick<Program, "fd" | "name">, input: TestRunInput): TestRunOutput {
	const data = new Uint8Array(input.data.length + GROWTH_BYTES);
	const context = new Uint8Array(input.context?.length ?? 0);
	for (;;) {
		const reply = bpf("BPF_PROG_TEST_RUN", {
			prog_fd: program.fd,
			data_size_in: input.data.length,
			data_in: input.data,
			data_size_out: data.length,
			data_out: data,
			ctx_size_in: context.length,
			ctx_in: input.context ?? null,
			ctx_size_out: context.length,
			ctx_out: context.length > 0 ? context : null,
			repeat: input.repeat ?? 1,
			flags: input.flags ?? 0,
		});
		if (reply.result === -ERRNO.EINTR) continue;
		if (reply.result < 0) throw new SyscallError(`test-run program ${program.name}`, -reply.result);
		const { retval, duration, data_size_out, ctx_size_out } = reply.attributes();
		return {
			verdict: retval,
			data: data.subarray(0, data_size_out),
			context: context.subarray(0, ctx_size_out),
			durationNs: duration,
		};
	}
}

export interface LiveFramesInput {
	/** The frame; each sent frame is a copy of it. */
	readonly data: Uint8Array;
	/** XDP with `data_end` = the frame's length and the `ingress_ifindex` where it arrives. */
	readonly context: Uint8Array;
	/** The number of frames. */
	readonly repeat: number;
	/** Frames between two rounds of the network stack, at most 256 (default 64). */
	readonly batchSize?: number;
}

/** The kernel's default (TEST_XDP_BATCH in net/bpf/test_run.c). */
const DEFAULT_BATCH = 64;

/**
 * Sends frames through an XDP program into the context's interface, as if they had arrived there: XDP_PASS
 * passes them to the stack. Returns nanoseconds per frame. Linux 5.18+. Throws SyscallError.
 */
export function sendLiveFrames(program: Pick<Program, "fd" | "name">, input: LiveFramesInput): number {
	const batchSize = input.batchSize ?? DEFAULT_BATCH;
	let nanoseconds = 0;
	// One batch for each call: between two batches the kernel gives up with EINTR if the thread has pending
	// work (libuv's io_uring causes some), and does not report how many frames it has sent.
	for (let sent = 0; sent < input.repeat; sent += batchSize) {
		const count = Math.min(batchSize, input.repeat - sent);
		nanoseconds += count * sendBatch(program, input, count);
	}
	return input.repeat === 0 ? 0 : nanoseconds / input.repeat;
}

function sendBatch(program: Pick<Program, "fd" | "name">, input: LiveFramesInput, count: number): number {
	const reply = bpf("BPF_PROG_TEST_RUN", {
		prog_fd: program.fd,
		data_size_in: input.data.length,
		data_in: input.data,
		ctx_size_in: input.context.length,
		ctx_in: input.context,
		repeat: count,
		flags: BPF_F_TEST.BPF_F_TEST_XDP_LIVE_FRAMES,
		batch_size: count,
	});
	if (reply.result < 0) {
		throw new SyscallError(`send live frames through program ${program.name}`, -reply.result);
	}
	return reply.attributes().duration;
}
