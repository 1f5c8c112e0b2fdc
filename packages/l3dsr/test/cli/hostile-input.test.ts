/**
 * Endless files, files that are not regular, text that moves a terminal's cursor, and a host that lacks
 * parts.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it, test } from "node:test";
import fc from "fast-check";
import { commandPath } from "../../../../test/support/commands.ts";
import { enterNetns, ip, run, waitFor } from "../../../../test/support/netns.ts";
import { runs } from "../../../../test/support/property-runs.ts";
import { readRecord } from "../../../web/src/api/read-record.ts";
import { runL3dsr } from "../../src/cli/l3dsr.ts";
import { printable } from "../../src/printable.ts";
import { captureContext, l3dsr } from "./run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-hostile-"));
after(() => rmSync(folder, { recursive: true }));
const command = commandPath("l3dsr");

const fifo = join(folder, "fifo");
run("mkfifo", fifo);
const sparse = join(folder, "sparse");
const fd = openSync(sparse, "w");
ftruncateSync(fd, 3 * 2 ** 30);
closeSync(fd);

function file(name: string, text: string | Uint8Array): string {
	const path = join(folder, name);
	writeFileSync(path, text);
	return path;
}

/** Runs in its own process: an endless call would hang this one. */
function said(program: string, args: readonly string[], input?: string): string {
	const { status, stdout, stderr, error } = spawnSync(program, args, {
		encoding: "utf8",
		timeout: 60_000,
		...(input === undefined ? {} : { input }),
	});
	assert.equal(error, undefined, `${args.join(" ")}: ${error?.message}`);
	return `${status}: ${stdout}${stderr}`;
}

describe("an endless file", () => {
	const kinds = [
		[fifo, /it is a FIFO, not a regular file/],
		["/dev/zero", /it is a device, not a regular file/],
		[sparse, /it is longer than \d+ MiB, the limit/],
		[folder, /EISDIR \(is a directory\)|no iptables-save|dsr\.conf/],
	] as const;
	const uses: readonly (readonly [what: string, command: (path: string) => readonly string[]])[] = [
		["a configuration", (path) => [command, "diff", "-c", path]],
		[
			"an include",
			(path) => [command, "diff", "-c", file("include.yaml", `services: []\ninclude: ${path}\n`)],
		],
		["a capture", (path) => [command, "trace", path]],
		["a list of targets", (path) => [command, "probe", "--file", path]],
		["saved rules", (path) => [commandPath("iptables-daddr-restore"), path]],
	];
	for (const [what, commandOf] of uses) {
		it(`as ${what} is refused with its reason`, () => {
			for (const [path, reason] of kinds) {
				if (path === folder && what === "an include") continue; // a folder of dsr.conf files
				const [program = "", ...args] = commandOf(path);
				const text = said(program, args);
				assert.match(text, /^[12]: error\[(CONFIG_READ|FILE_READ)\]|^[12]: \S+: error\[CONFIG_READ\]/, text);
				assert.match(text, reason, what);
			}
		});
	}

	it("as dsr.conf is unreadable for dsrctl and import", () => {
		for (const path of [fifo, "/dev/zero", sparse]) {
			assert.match(said(commandPath("dsrctl"), ["-f", path, "status"]), new RegExp(path));
			assert.match(said(command, ["import", path]), /error\[FILE_READ\]: read .*(FIFO|device|MiB)/);
		}
	});

	it("as the lock file does not block a command", () => {
		const inode = run("stat", "-Lc", "%i", "/proc/self/ns/net").trim();
		const lock = `/run/l3dsr.${inode}.lock`;
		rmSync(lock, { force: true });
		run("mkfifo", lock);
		const config = file("lock.yaml", "services: [{ vip: 192.0.2.10, dscp: 7 }]\n");
		assert.match(
			said(command, ["up", "-c", config]),
			/^1: error\[KERNEL_SYSCALL\]: open lock file \S+: it is not a regular file\nhint: delete /,
		);
		rmSync(lock);
	});

	it("may be a pipe if - asks for standard input, or if the shell passes its descriptor", () => {
		const rules = "*raw\n-A PREROUTING -m dscp --dscp 7 -j DADDR --set-daddr 192.0.2.10\nCOMMIT\n";
		assert.match(said(command, ["import", "-"], rules), /^0: /);
		const check = `${command} check -c <(echo 'services: [{ vip: 192.0.2.10, dscp: 7 }]')`;
		assert.doesNotMatch(said("bash", ["-c", check]), /CONFIG_READ/);
	});
});

describe("a YAML file", () => {
	for (const [what, text, message] of [
		[
			"with an alias that is not defined",
			"services: *nope\n",
			/error\[CONFIG_SYNTAX\]: alias \*nope has no anchor/,
		],
		[
			"that is an alias bomb",
			`a: &a [1,1,1,1,1,1,1,1,1]\n${[..."bcdefghi"].map((name, at) => `${name}: &${name} [${`*${"abcdefgh"[at]},`.repeat(9).slice(0, -1)}]\n`).join("")}services: *i\n`,
			/error\[CONFIG_SYNTAX\]: nested aliases expand to too many values/,
		],
		["with an alias within its own anchor", "services: &s [*s]\n", /error\[CONFIG_/],
		["that is nested a hundred thousand deep", `services: ${"[".repeat(100_000)}`, /error\[CONFIG_SYNTAX\]/],
	] as const) {
		it(`${what} is refused as a fault of the file`, async () => {
			const { exitCode, stderr } = await l3dsr("diff", "-c", file("hostile.yaml", text));
			assert.equal(exitCode, 2, stderr.slice(0, 500));
			assert.match(stderr, message);
			assert.doesNotMatch(stderr, /INTERNAL/);
		});
	}
});

describe("a host that lacks something", () => {
	const config = () => file("host.yaml", "services: [{ vip: 192.0.2.10, dscp: 7 }]\n");
	const within = (mounts: string, ...args: readonly string[]) =>
		said("unshare", ["--mount", "sh", "-c", `${mounts}; exec "$0" "$@"`, command, ...args]);
	for (const [what, mounts, expected] of [
		[
			"/proc",
			"mount -t tmpfs tmpfs /proc",
			/error\[KERNEL_\w+\]: .*\/proc.*ENOENT.*\nhint: mount it: mount -t proc/,
		],
		[
			"room in /run",
			"mount -t tmpfs -o size=4k,nr_inodes=1 tmpfs /run",
			/error\[KERNEL_SYSCALL\]: open lock file .*ENOSPC.*\nhint: free space in \/run/,
		],
	] as const) {
		it(`(${what}) gets a hint, and up does not call its own code faulty`, () => {
			const text = within(mounts, "up", "-c", config());
			assert.match(text, expected);
			assert.doesNotMatch(text, /INTERNAL/);
		});
	}

	it("(/dev/null) works if it is not needed", () => {
		const text = within("mount -t tmpfs tmpfs /dev", "up", "-n", "-c", config());
		assert.match(text, /^0: /);
	});
});

const EMPHASIS = new RegExp(`${String.fromCharCode(0x1b)}\\[(1|2|22|31|32|39)m`, "g");
/** Allowed output: no control characters except line feed and tab. */
const CONTROL = /[^\P{Cc}\n\t]/u;
const DIRECTION = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

describe("foreign text is printed without control characters", () => {
	it("in any text, on a terminal and elsewhere, and printable characters stay", () => {
		fc.assert(
			fc.property(fc.string({ unit: "binary" }), (text) => {
				assert.doesNotMatch(printable(text, "file"), CONTROL);
				if (!CONTROL.test(text)) assert.equal(printable(text, "file"), text);
				const onTerminal = printable(text, "terminal");
				for (const shown of [onTerminal.replaceAll(EMPHASIS, ""), printable(text, "plain")]) {
					assert.doesNotMatch(shown, CONTROL);
					assert.doesNotMatch(shown, DIRECTION);
				}
				assert.equal(printable(onTerminal, "terminal"), onTerminal);
			}),
		);
	});

	it("on the agent's page, which escapes the same marks of text direction", () => {
		for (let code = 0xa0; code < 0xd800; code++) {
			const character = String.fromCharCode(code);
			assert.equal(readRecord(JSON.stringify(character)), printable(character, "plain"));
		}
	});

	it("in JSON, which stays JSON", () => {
		fc.assert(
			fc.property(fc.string({ unit: "binary" }), (text) => {
				assert.equal(JSON.parse(printable(JSON.stringify(text), "file")), text);
			}),
		);
	});

	const hostile = fc
		.array(
			fc.constantFrom("\u001b[2J", "\u001b]0;x\u0007", "\u009b31m", "\r", "\u0008", "x", "\u007f", "ä"),
			{
				minLength: 1,
				maxLength: 6,
			},
		)
		.map((parts) => parts.join(""));

	it("from arguments and files, in errors and excerpts", async () => {
		await fc.assert(
			fc.asyncProperty(hostile, async (text) => {
				const path = file(
					"names.yaml",
					`services:\n  - { vip: 192.0.2.10, dscp: 99, name: "${text}" }\n${text}: 1\n`,
				);
				for (const argv of [
					[text],
					["up", `--${text}`],
					["up", "-c", `/nowhere/${text}`],
					["diff", "-c", path],
					["check", "-c", path, "--json"],
					["trace", "--from", text, "--to", "192.0.2.1"],
					["probe", text, "--dscp", "7", "--port", "80"],
					["status", "--netns", text],
				]) {
					const { stdout, stderr } = await l3dsr(...argv);
					assert.doesNotMatch(stdout + stderr, CONTROL, JSON.stringify(argv));
				}
			}),
			{ numRuns: runs(12) },
		);
	});

	it("and the caret is below the fault after escaped text", async () => {
		const path = file("caret.yaml", "\u001b[2Jx: 1\nservices: []\n");
		const { stderr } = await l3dsr("diff", "-c", path);
		const [, excerpt = "", caret = ""] = stderr.split("\n");
		assert.match(excerpt, /^1 \| \\u001b\[2Jx: 1$/);
		assert.equal(caret.indexOf("^"), excerpt.indexOf("\\u001b"));
	});

	it("if it is an interface's name in the output of up and status", async () => {
		ip("link add name e\u001b[1A type bridge");
		ip("address add 10.0.9.1/24 dev e\u001b[1A");
		ip("link set e\u001b[1A up");
		const config = file("odd.yaml", "services: [{ vip: 192.0.2.10, dscp: 7 }]\n");
		for (const argv of [
			["up", "-n", "-c", config],
			["check", "-c", config],
			["diff", "-c", config],
			["version"],
		]) {
			const { stdout, stderr } = await l3dsr(...argv);
			assert.doesNotMatch(stdout + stderr, CONTROL, argv.join(" "));
			assert.doesNotMatch(stdout + stderr, /INTERNAL/);
		}
		ip("link delete e\u001b[1A");
	});
});

test("up names the holder of the lock if the wait gets long", async () => {
	const inode = run("stat", "-Lc", "%i", "/proc/self/ns/net").trim();
	const config = file("wait.yaml", "services: [{ vip: 192.0.2.10, dscp: 7 }]\n");
	const holder = spawn("flock", [`/run/l3dsr.${inode}.lock`, "sh", "-c", "echo held; cat"]);
	await once(holder.stdout, "data");
	const { context, printed } = captureContext("up", "-c", config);
	const ended = runL3dsr(context);
	await waitFor("the message", () => printed.stderr.length > 0);
	holder.stdin.end();
	assert.equal(await ended, 0, printed.stderr);
	assert.match(printed.stderr, /^waiting for process \d+ \(flock\), which is changing this host\n$/);
	assert.match(printed.stdout, /ip address add 192\.0\.2\.10/);
	await l3dsr("down");
});
