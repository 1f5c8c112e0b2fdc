/**
 * The annotated listings for auditors: the director's program at XDP and at tc, each accepted by this kernel.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { asm, Program } from "@l3dsr/bpf";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { compileDirector } from "../../src/balance/compile/compile.ts";
import type { ProgramOptions } from "../../src/balance/compile/options.ts";
import { assertGolden } from "../golden.ts";

failOnLeaks();

const XDP: ProgramOptions = {
	hook: "xdp",
	ifindex: 2,
	mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
	forward: "resolved",
	flows: "transition",
	anyPort: false,
	echoReply: true,
	bleach: false,
	ipv6ChecksumFlag: true,
	clock: "bpf_ktime_get_coarse_ns",
	multiplier: 0x9e3779b97f4a7c15n,
	vipBits: 6,
	rings: 8,
	reals: 256,
	flowBits: 17,
	fragmentBits: 12,
};

const VARIANTS: readonly {
	readonly file: string;
	readonly what: string;
	readonly options: ProgramOptions;
}[] = [
	{ file: "xdp", what: "at XDP: out of an interface, flows remembered in transitions", options: XDP },
	{
		file: "xdp-plain",
		what: "at XDP, as plain as it gets: routed by the kernel, no memory of flows",
		options: { ...XDP, forward: "kernel", flows: "none", echoReply: false },
	},
	{
		file: "tc",
		what: "at tc: routed by the kernel",
		options: { ...XDP, hook: "tc", forward: "kernel", flows: "none", echoReply: false },
	},
];

for (const { file, what, options } of VARIANTS) {
	test(`listing of the director ${what}`, () => {
		const spec = compileDirector(options);
		assertGolden(`balance/${file}.txt`, `# the director ${what}\n\n${asm.formatListing(spec.instructions)}`);
		using program = Program.load(spec);
		assert.ok(program.info.id > 0);
		assert.deepEqual(compileDirector(options), spec, "the same options give the same program");
	});
}

for (const options of [
	{ ...XDP, vlan: 4094 },
	{ ...XDP, flows: "always", anyPort: true, bleach: true, clock: "bpf_ktime_get_ns" },
	{ ...XDP, vipBits: 4, rings: 1, reals: 33, flowBits: 1, fragmentBits: 1 },
	{ ...XDP, vipBits: 12, rings: 1000, reals: 131072 },
] satisfies ProgramOptions[]) {
	test(`the kernel accepts the program with ${describe(options)}`, () => {
		using program = Program.load(compileDirector(options));
		assert.ok(program.info.id > 0);
	});
}

test("a director on a device without Ethernet header reads the packet from its start", () => {
	const { mac: _, ...options } = { ...XDP, hook: "tc", forward: "kernel" } as const;
	using program = Program.load(compileDirector(options));
	assert.ok(program.info.id > 0);
});

function describe(options: ProgramOptions): string {
	const changed = Object.entries(options).filter(
		([key, value]) => XDP[key as keyof ProgramOptions] !== value,
	);
	return changed.map(([key, value]) => `${key} ${value}`).join(", ");
}
