/** For tests: the instructions that the builder emits for a few steps, and the errors that it throws. */
import assert from "node:assert/strict";
import { formatInstruction } from "../../src/asm/index.ts";
import * as bpf from "../../src/builder/index.ts";
import { BpfError } from "../../src/error.ts";
import type { ProgramSpec } from "../../src/spec.ts";

export function builder(): bpf.ProgramBuilder {
	return new bpf.ProgramBuilder({ name: "t", type: "BPF_PROG_TYPE_SCHED_CLS" });
}

/** Pseudo-C of a program that starts with `body` and ends with `exit 0`, without that ending. */
export function emitted(body: (p: bpf.ProgramBuilder) => void): readonly string[] {
	const p = builder();
	body(p);
	p.exit(0);
	return lines(p.build()).slice(0, -2);
}

export function lines(spec: ProgramSpec): readonly string[] {
	return spec.instructions.map((instruction) => {
		const label = instruction.symbol === undefined ? "" : `${instruction.symbol}: `;
		return label + formatInstruction(instruction);
	});
}

export function refuses(body: (p: bpf.ProgramBuilder) => void, message: RegExp): void {
	assert.throws(
		() => {
			const p = builder();
			body(p);
			p.build();
		},
		(error) => {
			assert.ok(error instanceof BpfError);
			assert.equal(error.code, "BUILD");
			assert.match(error.message, message);
			return true;
		},
	);
}

/** Context, packet and end of a tc program, with 34 bytes proven. */
export function packet(
	p: bpf.ProgramBuilder,
	otherwise = p.label("pass"),
	proven = 34,
): {
	readonly ctx: bpf.View<typeof bpf.SKB.fields>;
	readonly data: bpf.Value;
	readonly end: bpf.Value;
	readonly ip: bpf.View<typeof bpf.IPV4.fields>;
	readonly pass: bpf.Label;
} {
	const ctx = p.context(bpf.SKB);
	const data = p.load(ctx.data, { name: "data" });
	const end = p.load(ctx.data_end, { name: "end" });
	p.prove(data, proven, end, otherwise);
	return { ctx, data, end, ip: bpf.view(data, bpf.IPV4, 14), pass: otherwise };
}
