/** The built commands: compiled ahead, and compiled at the start if that is not possible. */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { hotFunctions, steady } from "../../scripts/code-cache.ts";
import { commandPath, ROOT } from "../support/commands.ts";
import { enterNetns, waitFor } from "../support/netns.ts";

enterNetns();

let copy: string;

before(() => {
	commandPath("iptables-daddr");
	copy = mkdtempSync(join(tmpdir(), "l3dsr-build-"));
	cpSync(join(ROOT, "dist"), join(copy, "dist"), { recursive: true });
	cpSync(join(ROOT, "bin"), join(copy, "bin"), { recursive: true });
	symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
});
after(() => rmSync(copy, { recursive: true }));

const dist = () => join(copy, "dist");
const compiled = () => readdirSync(dist()).filter((name) => name.endsWith(".js"));

function run(name: string, ...args: readonly string[]): string {
	const { status, stdout, stderr } = spawnSync(join(copy, "bin", name), args, { encoding: "utf8" });
	assert.equal(stderr, "");
	assert.equal(status, 0);
	return stdout;
}

test("each part is compiled ahead for this Node", () => {
	const parts = compiled().map((name) => name.replace(/\.[0-9a-f]{16}\.js$/, ""));
	for (const part of ["base", "datapath", "ebpf", "iptables", "l3dsr", "rules", "services", "yaml"]) {
		assert.ok(parts.includes(part), `${part} among ${parts}`);
	}
	const rejected = `const { readFileSync } = require("node:fs");
		for (const filename of ${JSON.stringify(compiled())}) {
			const source = readFileSync(filename, "latin1");
			const cachedData = readFileSync(filename + ".cache");
			console.log(filename, new (require("node:vm").Script)(source, { filename, cachedData }).cachedDataRejected);
		}`;
	const { stdout } = spawnSync(process.execPath, [...flags(), "-e", rejected], {
		encoding: "utf8",
		cwd: dist(),
	});
	assert.deepEqual(
		stdout.trim().split("\n"),
		compiled().map((name) => `${name} false`),
	);
});

test("the list of functions to compile ahead is that of today's commands", () => {
	const parts = compiled().map((name) => steady(readFileSync(join(dist(), name), "latin1")).text);
	const hot = hotFunctions();
	const unknown = hot.filter((head) => !parts.some((source) => source.includes(head)));
	// Each change of a function's head leaves an entry behind; a command compiles that function at its start.
	assert.ok(
		unknown.length <= hot.length * 0.03,
		`make hot-functions: ${unknown.length} of ${hot.length} are unknown, such as ${unknown.slice(0, 5).join(" | ")}`,
	);
});

/** Node's flags on the first line of the commands. */
function flags(): string[] {
	const [line = ""] = readFileSync(join(copy, "bin", "l3dsr"), "utf8").split("\n");
	return line.split(" ").filter((word) => word.startsWith("--"));
}

test("a command loads only small modules of Node beyond those of an empty process", () => {
	const list = join(copy, "list.cjs");
	const to = join(copy, "list.json");
	writeFileSync(
		list,
		`process.on("exit", () => require("fs").writeFileSync("${to}", JSON.stringify(process.moduleLoadList)));`,
	);
	const empty = join(copy, "empty.cjs");
	writeFileSync(empty, "");
	const modules = (...command: readonly string[]): string[] => {
		const { status } = spawnSync(process.execPath, [...flags(), "--require", list, ...command], {
			stdio: ["ignore", "pipe", "inherit"],
		});
		assert.equal(status, 0, command.join(" "));
		return JSON.parse(readFileSync(to, "utf8"));
	};
	const known = new Set(modules(empty));
	const commands = [
		["iptables-daddr", "-t", "raw", "-A", "PREROUTING", "-m", "dscp", "--dscp", "1", ...target],
		["iptables-daddr", "-t", "raw", "-A", "PREROUTING", "-i", "lo", "-m", "dscp", "--dscp", "1", ...target],
		["iptables-daddr", "-t", "raw", "-F"],
		["dsrctl", "-f", "/dev/null", "status"],
		["l3dsr", "--help"],
	];
	for (const [name = "", ...args] of commands) {
		const more = modules(join(copy, "bin", name), ...args).filter((one) => !known.has(one));
		assert.deepEqual(
			more.filter((one) => !SMALL.has(one)),
			[],
			name,
		);
	}
});

/** What runs the parts, and what commander loads for the name of a global. */
const SMALL = new Set(["NativeModule vm", "NativeModule process"]);

const target = ["-j", "DADDR", "--set-daddr", "192.0.2.1"];

test("the agent's page contains exactly the files that its document loads", () => {
	const web = join(dist(), "web");
	const document = readFileSync(join(web, "index.html"), "utf8");
	const loaded = [...document.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, file = ""]) => file);
	assert.equal(loaded.length, 3);
	assert.deepEqual(readdirSync(web).sort(), ["index.html", ...loaded].sort());
	assert.doesNotMatch(
		document,
		/<script(?![^>]* src=)|style=|https?:/,
		"nothing inline, nothing from elsewhere",
	);
});

/** Runs a command in a copy that has only the wanted parts. */
function runInCopy(
	isWanted: (part: string) => boolean,
	name: string,
	...args: readonly string[]
): SpawnSyncReturns<string> {
	const kept = mkdtempSync(join(tmpdir(), "l3dsr-parts-"));
	try {
		cpSync(copy, kept, { recursive: true, verbatimSymlinks: true });
		for (const file of readdirSync(join(kept, "dist"))) {
			const [part = ""] = file.split(".");
			if (!isWanted(part)) rmSync(join(kept, "dist", file), { recursive: true });
		}
		return spawnSync(join(kept, "bin", name), args, { encoding: "utf8" });
	} finally {
		rmSync(kept, { recursive: true });
	}
}

function runWith(parts: readonly string[], name: string, ...args: readonly string[]): string {
	const { status, stdout, stderr } = runInCopy((part) => parts.includes(part), name, ...args);
	assert.equal(stderr, "");
	assert.equal(status, 0);
	return stdout;
}

test("a command loads only the parts that it needs", () => {
	assert.match(runWith([], "l3dsr", "--version"), /^l3dsr \d/);
	assert.match(runWith(["base", "l3dsr"], "l3dsr", "--help"), /apply the configuration to this host/);
	const version = ["base", "datapath", "ebpf", "l3dsr", "programs", "rules", "version"];
	assert.match(runWith(version, "l3dsr", "version"), /^l3dsr:? /);
	assert.match(runWith(["base", "l3dsr", "rules", "services"], "l3dsr", "up", "--help"), /--dry-run/);
	assert.match(runWith(["base", "iptables", "rules"], "iptables-daddr", "--help"), /--set-daddr/);
	assert.match(runWith(["base", "dsrctl", "rules", "services"], "dsrctl", "--version"), /^dsrctl \d/);
	const rule = "-t raw -A PREROUTING -m dscp --dscp 1 -j DADDR --set-daddr 192.0.2.1".split(" ");
	assert.equal(runWith(["base", "iptables", "rules", "datapath"], "iptables-daddr", ...rule), "");
});

test("a command whose code has been replaced while it ran says so", () => {
	const { status, stderr } = runInCopy((part) => part !== "iptables", "iptables-daddr", "-S");
	assert.equal(status, 1);
	assert.match(
		stderr,
		/^error\[KERNEL_SYSCALL\]: open .*\/dist\/iptables\.\w+\.js: ENOENT .*\nhint: l3dsr was upgraded or removed/,
	);
});

test("a command ignores the environment's options for Node", () => {
	const env = { ...process.env, NODE_OPTIONS: "--no-such-option" };
	const { status, stderr } = spawnSync(join(copy, "bin", "l3dsr"), ["--help"], { encoding: "utf8", env });
	assert.equal(stderr, "");
	assert.equal(status, 0);
});

test("a running command has its own name as process name", async () => {
	const child = spawn(join(copy, "bin", "iptables-daddr-restore"), [], {
		stdio: ["pipe", "ignore", "ignore"],
	});
	try {
		const comm = () => readFileSync(`/proc/${child.pid}/comm`, "utf8");
		await waitFor("its name", () => comm() === "iptables-daddr-\n");
	} finally {
		child.kill();
		await once(child, "exit");
	}
});

test("a command works without a cache, or with one that V8 refuses", () => {
	const [name] = compiled().filter((one) => one.startsWith("iptables."));
	assert.ok(name !== undefined);
	const version = run("iptables-daddr", "--version");
	assert.match(version, /^iptables-daddr v/);
	const cache = join(dist(), `${name}.cache`);
	const foreign = readFileSync(cache);
	foreign.fill(0, 4, 12); // the hashes of V8's version and of the source
	writeFileSync(cache, foreign);
	assert.equal(run("iptables-daddr", "--version"), version);
	rmSync(cache);
	assert.equal(run("iptables-daddr", "--version"), version);
	assert.equal(run("ip6tables-daddr", "--version"), version.replace("iptables", "ip6tables"));
});
