import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { ERRNO } from "@l3dsr/linux";
import fc from "fast-check";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns } from "../../../test/support/netns.ts";
import { Program } from "../src/program.ts";
import { parseVerifierLog, VerifierError } from "../src/verifier-log.ts";
import { BROKEN_PROGRAMS } from "./broken-programs.ts";

enterNetns();
failOnLeaks();

interface Refusal {
	readonly errno: "EACCES" | "EINVAL";
	readonly telling: RegExp;
	readonly slot: number | undefined;
	/** The builder's comment that the slot belongs to. */
	readonly purpose?: string;
}

const REFUSALS: { readonly [N in keyof typeof BROKEN_PROGRAMS]: Refusal } = {
	"packet-bounds": {
		errno: "EACCES",
		telling: /^invalid access to packet, off=30 size=4, R2.*\nR2 offset is outside of the packet$/,
		slot: 1,
		purpose: "load destination address",
	},
	"uninitialised-register": {
		errno: "EACCES",
		telling: /^R0 !read_ok$/,
		slot: 1,
		purpose: "keep the context",
	},
	"unreachable-instruction": {
		errno: "EINVAL",
		telling: /^unreachable insn 2$/,
		slot: 2,
		purpose: "never",
	},
	"infinite-loop": {
		errno: "EINVAL",
		telling: /^infinite loop detected at insn 2$/,
		slot: 2,
		purpose: "walk extension headers",
	},
	"long-log": { errno: "EACCES", telling: /^R5 !read_ok$/, slot: 3, purpose: "give the verdict" },
	"jump-out-of-range": {
		errno: "EINVAL",
		telling: /^jump out of range from insn 1 to 9$/,
		slot: 1,
		purpose: "leave",
	},
	"map-value-unchecked": {
		errno: "EACCES",
		telling: /^R0 invalid mem access 'map_value_or_null'$/,
		slot: 6,
		purpose: "read the counter",
	},
	"unknown-helper": {
		errno: "EINVAL",
		telling: /^invalid func unknown#4711$/,
		slot: 0,
		purpose: "ask for help",
	},
	"helper-needs-gpl": {
		errno: "EINVAL",
		telling: /^cannot call GPL-restricted function from non-GPL compatible program$/,
		slot: 4,
		purpose: "trace",
	},
	"stack-bounds": {
		errno: "EACCES",
		telling: /^invalid write to stack R10 off=-520 size=8$/,
		slot: 0,
		purpose: "save",
	},
	"context-write": {
		errno: "EACCES",
		telling: /^invalid bpf_context access off=0 size=4$/,
		slot: 1,
		purpose: "change the packet's length",
	},
	"no-exit": { errno: "EINVAL", telling: /^last insn is not an exit or jmp$/, slot: undefined },
	"pointer-leak": {
		errno: "EACCES",
		telling: /^R1 pointer arithmetic with <<= operator prohibited$/,
		slot: 0,
		purpose: "shift the context",
	},
};

for (const [name, refusal] of Object.entries(REFUSALS)) {
	if (name === "long-log") continue; // 1 MB: too large to store
	test(`finds the decisive lines of a real log: ${name}`, () => {
		const log = readFileSync(new URL(`verifier-logs/${name}.log`, import.meta.url), "utf8");
		const report = parseVerifierLog(log);
		assert.match(report.telling.join("\n"), refusal.telling);
		assert.equal(report.slot, refusal.slot);
		const lines = log.split("\n").filter((line) => line.trim() !== "").length;

		assert.equal(report.omittedLines, lines - report.telling.length);
	});
}

for (const [name, spec] of Object.entries(BROKEN_PROGRAMS)) {
	const refusal = REFUSALS[name as keyof typeof BROKEN_PROGRAMS];
	test(`reports why this kernel refuses a program, and at which of its steps: ${name}`, () => {
		assert.throws(
			() => Program.load(spec),
			(error: unknown) => {
				assert.ok(error instanceof VerifierError);
				assert.equal(error.code, "VERIFIER");
				assert.equal(error.errno, ERRNO[refusal.errno]);
				assert.match(error.report.telling.join("\n"), refusal.telling);
				const [first = ""] = error.report.telling;
				assert.equal(error.message, `load program t_broken: ${refusal.errno}: ${first}`);
				const omitted = error.report.omittedLines;
				const place =
					refusal.slot === undefined
						? "at no instruction in particular"
						: `at insn ${refusal.slot}, emitted for "${refusal.purpose}"`;
				assert.equal(
					error.notes.at(-1),
					`${place} (${omitted} log ${omitted === 1 ? "line" : "lines"} omitted)`,
				);
				return true;
			},
		);
	});
}

test("keeps the whole log if it is longer than the first buffer", () => {
	assert.throws(
		() => Program.load(BROKEN_PROGRAMS["long-log"]),
		(error: unknown) => {
			assert.ok(error instanceof VerifierError);
			assert.match(error.log, /^0: R1=ctx\(\) R10=fp0\n0: /);
			assert.match(error.log, /\nprocessed \d+ insns .*\n$/);
			assert.ok(error.report.omittedLines > 20_000);
			return true;
		},
	);
});

test("accepts any text as a log", () => {
	fc.assert(
		fc.property(
			fc.string({ unit: fc.constantFrom("\n", "1", ": ", "(61) ", "R1=", "insn ", "x") }),
			(log) => {
				const { telling, omittedLines } = parseVerifierLog(log);
				assert.ok(telling.length >= 0 && omittedLines >= 0);
			},
		),
	);
});
