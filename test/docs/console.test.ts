import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { commandPath, ROOT } from "../support/commands.ts";
import { enterNetns, Netns } from "../support/netns.ts";
import { matchesShown, parseConsoleBlocks } from "./console.ts";

enterNetns();

/** Pages that another test runs beside the command, with the command's exit codes and a fixed clock. */
const RUN_ELSEWHERE = ["docs/reference/iptables-daddr.md"];

const bin = dirname(commandPath("l3dsr"));
const documents = [
	"README.md",
	...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
		.filter((path) => path.endsWith(".md"))
		.map((path) => `docs/${path}`),
]
	.filter((document) => !RUN_ELSEWHERE.includes(document))
	.sort();

describe("commands shown in documents", () => {
	for (const document of documents) {
		const steps = parseConsoleBlocks(readFileSync(join(ROOT, document), "utf8"));
		if (steps.length === 0) continue;
		it(`of ${document} print what the document shows`, () => {
			using host = new Netns("docs");
			const directory = mkdtempSync(join(tmpdir(), "l3dsr-docs-"));
			try {
				for (const { line, command, expected } of steps) {
					// Both streams as one, as a terminal shows them.
					const { status, stdout } = spawnSync(
						"ip",
						["netns", "exec", host.name, "sh", "-c", `exec 2>&1\n${command}`],
						{
							cwd: directory,
							encoding: "utf8",
							env: { ...process.env, PATH: `${bin}:${process.env["PATH"]}` },
						},
					);
					const place = `${document}:${line}: ${command}`;
					assert.equal(status, 0, `${place}\n${stdout}`);
					assert.ok(
						matchesShown(stdout, expected),
						`${place}\nprinted:\n${stdout}\nshown:\n${expected.join("\n")}`,
					);
				}
			} finally {
				rmSync(directory, { recursive: true });
			}
		});
	}

	it("include the start in the README", () => {
		const shown = parseConsoleBlocks(readFileSync(join(ROOT, "README.md"), "utf8"));
		assert.ok(shown.some(({ command }) => command.startsWith("iptables-daddr ")));
	});
});

describe("parseConsoleBlocks", () => {
	const block = (...lines: readonly string[]) => ["```console", ...lines, "```"].join("\n");

	it("reads commands with their output, and joins continued lines", () => {
		assert.deepEqual(parseConsoleBlocks(`text\n\n${block("# a \\", "    b", "out", "$ c")}`), [
			{ line: 4, command: "a b", expected: ["out"] },
			{ line: 7, command: "c", expected: [] },
		]);
	});

	it("ignores other blocks, and those that say why they are not run", () => {
		assert.deepEqual(parseConsoleBlocks("```sh\n# rm -r /\n```"), []);
		assert.deepEqual(parseConsoleBlocks(`<!-- not run: reboots -->\n\n${block("# reboot")}`), []);
		assert.equal(parseConsoleBlocks(`<!-- not run: reboots -->\n\ntext\n${block("# id")}`).length, 1);
	});

	it("reads a block in a list without its indentation", () => {
		const list = [
			"1. text",
			"",
			"   ```console",
			"   # a",
			"   out",
			"     in",
			"   ```",
			"",
			"   ```sh",
			"   # b",
			"   ```",
		];
		assert.deepEqual(parseConsoleBlocks(list.join("\n")), [
			{ line: 4, command: "a", expected: ["out", "  in"] },
		]);
	});

	it("refuses output without a command", () => {
		assert.throws(() => parseConsoleBlocks(block("out")), /line 2: a console block begins with a command/);
	});
});

describe("matchesShown", () => {
	it("compares line by line, except for trailing blanks", () => {
		assert.ok(matchesShown("a  \nb\n", ["a", "b"]));
		assert.ok(!matchesShown("a\nb\n", ["a"]));
		assert.ok(!matchesShown("a\n", ["a", "b"]));
		assert.ok(!matchesShown("a.c", ["abc"]));
	});

	it("accepts any text, or any lines, for …", () => {
		assert.ok(matchesShown("took 5 ms\n", ["took … ms"]));
		assert.ok(!matchesShown("took 5 s\n", ["took … ms"]));
		assert.ok(matchesShown("a\nb\nc\nd\n", ["a", "…", "d"]));
		assert.ok(matchesShown("a\nd\n", ["a", "…", "d"]));
		assert.ok(matchesShown("a\n", ["a", "…"]));
		assert.ok(!matchesShown("a\nb\n", ["…", "c"]));
	});
});
