/** `l3dsr top` on a terminal: its output, and that it restores the terminal afterwards. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { enterNetns, ip, run, waitFor } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";
import { assertRecord } from "../../../../../test/support/records.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-top-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");

before(async () => {
	const services = Array.from(
		{ length: 40 },
		(_, n) => `  - { name: svc-${n + 1}, vip: 192.0.2.${n + 1}, dscp: ${n + 1} }`,
	);
	writeFileSync(config, `datapath: nft\nservices:\n${services.join("\n")}\n`);
	ip("link add real0 type veth peer name real1");
	ip("link set real0 up");
	assert.equal((await l3dsr("up", "-c", config)).exitCode, 0);
});

const ENTER = "\u001b[?1049h";
const LEAVE = "\u001b[?1049l";

const L3DSR = `${process.execPath} ${FROM_SOURCE.join(" ")} packages/l3dsr/test/cli/l3dsr-process.ts`;

/** A command on its own terminal, which script(1) creates. */
class OnTerminal {
	readonly #child;
	readonly #nameFile = join(mkdtempSync(join(folder, "tty-")), "name");
	#seen = "";
	readonly ended: Promise<number | null>;

	constructor(columns: number, rows: number, command: string) {
		const inner = `tty > ${this.#nameFile}; stty cols ${columns} rows ${rows}; exec ${command}`;
		this.#child = spawn("script", ["--quiet", "--return", "--flush", "--command", inner, "/dev/null"], {
			stdio: ["pipe", "pipe", "inherit"],
			env: { ...process.env, TERM: "xterm", LANG: "C.UTF-8", LC_ALL: "" },
		});
		this.#child.stdout.setEncoding("utf8").on("data", (text: string) => {
			this.#seen += text;
		});
		this.ended = once(this.#child, "close").then(([code]) => code);
	}

	/** Everything that the terminal received. */
	get seen(): string {
		return this.#seen;
	}

	/** Waits for the pattern in the output since `mark`, a length of `seen`. */
	async shows(pattern: RegExp, mark = 0): Promise<void> {
		await waitFor(`${pattern} on the terminal`, () => pattern.test(this.#seen.slice(mark)), 20_000).catch(
			(error) => {
				this.#child.kill();
				throw new Error(`${error.message}, but ${JSON.stringify(this.#seen.slice(mark))}`);
			},
		);
	}

	/** Returns a mark. */
	type(keys: string): number {
		const mark = this.#seen.length;
		this.#child.stdin.write(keys);
		return mark;
	}

	/** Like a resized window. Returns a mark. */
	resize(columns: number, rows: number): number {
		const mark = this.#seen.length;
		const name = readFileSync(this.#nameFile, "utf8").trim();
		run("stty", "-F", name, "cols", String(columns), "rows", String(rows));
		return mark;
	}
}

test("top fills the screen, pages through services, and restores the terminal at q", async () => {
	const terminal = new OnTerminal(90, 20, `${L3DSR} top -c ${config} --delay 0.05`);
	await terminal.shows(/1-\d+ of 40 services/);
	assert.ok(terminal.seen.startsWith(ENTER), JSON.stringify(terminal.seen.slice(0, 40)));
	await terminal.shows(/40 of 40 services up/);
	await terminal.shows(/svc-1 /);
	await terminal.shows(/svc-7 .* 0 .* 0/);
	let mark = terminal.type("\u001b[F");
	await terminal.shows(/svc-40 /, mark);
	mark = terminal.type("/svc-33\r");
	await terminal.shows(/1-1 of 1 services {2}filter "svc-33"/, mark);
	terminal.type("q");
	assert.equal(await terminal.ended, 0);
	assert.ok(terminal.seen.trimEnd().endsWith(LEAVE), JSON.stringify(terminal.seen.slice(-60)));
	assert.ok(terminal.seen.includes("\u001b[?25h"), "the cursor is shown again");
});

test("status --watch is the same, and Ctrl-C ends it", async () => {
	const terminal = new OnTerminal(80, 12, `${L3DSR} status -c ${config} --watch 0.05`);
	await terminal.shows(/of 40 services/);
	assert.ok(terminal.seen.startsWith(ENTER));
	terminal.type("\u0003");
	assert.equal(await terminal.ended, 0);
	assert.ok(terminal.seen.trimEnd().endsWith(LEAVE));
});

test("the screen follows the size of the terminal, also while it is suspended with Ctrl-Z", async () => {
	const terminal = new OnTerminal(90, 20, "bash --noprofile --norc -i");
	await terminal.shows(/[#$] $/);
	terminal.type(`${L3DSR} top -c ${config} --delay 0.05\r`);
	// Three lines and the heading are above the services, the keys below them.
	await terminal.shows(/1-15 of 40 services/);
	let mark = terminal.resize(90, 12);
	await terminal.shows(/1-7 of 40 services/, mark);

	mark = terminal.type("\u001a");
	await terminal.shows(/Stopped/, mark);
	const left = terminal.seen.slice(mark);
	assert.ok(left.indexOf(LEAVE) >= 0 && left.indexOf(LEAVE) < left.indexOf("Stopped"), JSON.stringify(left));
	terminal.resize(90, 16);
	mark = terminal.type("fg\r");
	await terminal.shows(/1-11 of 40 services/, mark);
	assert.ok(terminal.seen.slice(mark).includes(ENTER));
	mark = terminal.type("\u001b[F");
	await terminal.shows(/30-40 of 40 services/, mark);
	mark = terminal.type("q");
	await terminal.shows(/[#$] $/, mark);
	terminal.type("exit 7\r");
	assert.equal(await terminal.ended, 7);
});

/** The output of `top` into a pipe until `enough` holds. */
async function piped(enough: (text: string) => boolean, ...options: readonly string[]): Promise<string> {
	const program = [...FROM_SOURCE, "packages/l3dsr/test/cli/l3dsr-process.ts", "top", "-c", config];
	const child = spawn(process.execPath, [...program, "--delay", "0.05", ...options], {
		stdio: ["ignore", "pipe", "inherit"],
	});
	let text = "";
	child.stdout.setEncoding("utf8").on("data", (piece: string) => {
		text += piece;
	});
	await waitFor(`enough of top ${options.join(" ")}`, () => enough(text), 20_000);
	child.kill("SIGTERM");
	await once(child, "close");
	return text;
}

test("if the output is not a terminal, it prints one table after the other", async () => {
	const text = await piped((printed) => printed.split("packets/s").length > 3);
	assert.ok(!text.includes("\u001b"), "nothing but text");
});

test("with --json, each reading is a record on one line, with rates from the second on", async () => {
	const text = await piped((printed) => printed.split("\n").length > 2, "--json");
	const [first = "", second = ""] = text.split("\n");
	assert.equal(assertRecord("status", first).services[0]?.rate, null);
	assert.deepEqual(assertRecord("status", second).services[0]?.rate, { packets: 0, bytes: 0 });
});

test("a state that cannot be read is an error, without a screen", async () => {
	const terminal = new OnTerminal(80, 24, `${L3DSR} top -c ${folder}/none.yaml`);
	assert.equal(await terminal.ended, 2);
	assert.match(terminal.seen, /none\.yaml/);
	assert.ok(!terminal.seen.includes(ENTER));
});
