/**
 * Bundles every command into dist/ and writes bin/NAME for each, with the absolute path of a Node in its
 * first line: dsrctl must start with an empty PATH, from cron and from boot scripts. docs/design/start-up.md
 * explains the design.
 *
 * For packages: --out DIR builds there instead of here, --runtime PATH is the Node of the first lines, and
 * --no-code-cache leaves the caches to code-cache.ts.
 */
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { FLAGS, hotFunctions, writeCodeCache } from "./code-cache.ts";
import { buildPage } from "./page.ts";
import { bundleParts } from "./parts.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values: options } = parseArgs({
	options: { out: { type: "string" }, runtime: { type: "string" }, "no-code-cache": { type: "boolean" } },
});
const out = options.out === undefined ? root : `${resolve(options.out)}/`;
const { version } = JSON.parse(readFileSync(`${root}packages/l3dsr/package.json`, "utf8"));
const runtime = options.runtime ?? process.execPath;

/**
 * Maps commands to entry files under packages/l3dsr/src/cli. One program serves several names, as with
 * iptables.
 */
const COMMANDS: Readonly<Record<string, string>> = {
	l3dsr: "l3dsr.ts",
	dsrctl: "dsrctl.ts",
	"iptables-daddr": "iptables-daddr.ts",
	"ip6tables-daddr": "iptables-daddr.ts",
	"iptables-daddr-save": "iptables-daddr.ts",
	"ip6tables-daddr-save": "iptables-daddr.ts",
	"iptables-daddr-restore": "iptables-daddr.ts",
	"ip6tables-daddr-restore": "iptables-daddr.ts",
};

/**
 * A variable that Node must not see: an operator sets it for other programs, and Node may refuse to start
 * with it.
 */
const UNSET = "NODE_OPTIONS";

/**
 * Loads chunks, in every command. Node compiles it each time, so it is short. PARTS maps a part to its file and
 * the length of that file. All files are read into the same memory, so that the kernel need not clear new
 * pages; Node reads a longer file. Without the cache, or if V8 refuses it, the source is compiled as usual.
 */
const LOADER = `const parts = PARTS;
const dist = require("node:path").dirname(__dirname) + "/dist";
const room = Buffer.allocUnsafeSlow(1 << 19);
const functions = Object.create(null);
const modules = Object.create(null);
function read(path) {
	const fd = fs.openSync(path);
	try {
		const length = fs.readSync(fd, room, 0, room.length, null);
		return length < room.length ? room.subarray(0, length) : fs.readFileSync(path);
	} finally {
		fs.closeSync(fd);
	}
}
function part([file, length]) {
	const path = dist + "/" + file;
	let source = read(path);
	if (source.length !== length) source = fs.readFileSync(path);
	source = source.latin1Slice();
	let cachedData;
	try {
		cachedData = read(path + ".cache");
	} catch {}
	return new (require("node:vm").Script)(source, { filename: file, cachedData }).runInThisContext();
}
function load(name) {
	if (name in modules) return modules[name];
	if (name.startsWith("node:")) return require(name);
	if (!(name in functions)) Object.assign(functions, part(parts[name.slice(0, name.indexOf("/"))]));
	const exports = (modules[name] = []);
	functions[name](exports, require, load, async (wanted) => load(wanted), "file://" + dist + "/" + name, dist);
	return exports;
}`;

const present = new Set(readdirSync(`${root}packages/l3dsr/src/cli`));
const entries = [...new Set(Object.values(COMMANDS))].filter((file) => present.has(file));
rmSync(`${out}dist.new`, { recursive: true, force: true });
mkdirSync(`${out}dist.new`, { recursive: true });
const { parts, functionOf } = await bundleParts(
	root,
	entries.map((file) => `packages/l3dsr/src/cli/${file}`),
);
const hot = hotFunctions();
const files = Object.fromEntries(
	[...parts].map(([part, text]) => [part, [compileAhead(part, text), text.length]]),
);
const loader = LOADER.replace("PARTS", JSON.stringify(files));
await buildPage(root, `${out}dist.new/web`);

// Built beside the old folder and swapped in: a build that fails deletes nothing.
rmSync(`${out}dist`, { recursive: true, force: true });
renameSync(`${out}dist.new`, `${out}dist`);
mkdirSync(`${out}bin`, { recursive: true });
const throughEnv = `#!/usr/bin/env -S -u ${UNSET} ${runtime} ${FLAGS.join(" ")}`;
// The length of a first line that kernels read: before 5.1, on which packages also run, and since then.
const [major = 0, minor = 0] = release().split(".").map(Number);
const isNewer = major > 5 || (major === 5 && minor >= 1);
const longest = options.runtime === undefined && isNewer ? 256 : 128;
const firstLine = throughEnv.length < longest ? throughEnv : `#!${runtime}`;
for (const [name, file] of Object.entries(COMMANDS)) {
	if (!present.has(file)) continue;
	const path = `${out}bin/${name}`;
	const start = `load("${functionOf.get(`packages/l3dsr/src/cli/${file}`)}").main("${name}");`;
	// Inventories ask for the version often; the answer needs no program, nor the streams of process.stdout.
	const answer = `process.argv[3] === undefined && /^(-V|--version)$/.test(process.argv[2])`;
	const line =
		name === "l3dsr"
			? `if (${answer}) { try { fs.writeSync(1, "l3dsr ${version}\\n"); } catch {} }\nelse ${start}`
			: start;
	// Started by env, the process would be called node.
	const title = `try { fs.writeFileSync("/proc/self/comm", "${name}"); } catch {}`;
	writeFileSync(
		path,
		`${firstLine}\n"use strict";\nconst fs = require("node:fs");\n${title}\n${loader}\n${line}\n`,
	);
	chmodSync(path, 0o755);
}
writeFileSync(`${out}bin/package.json`, '{ "type": "commonjs" }\n');

/**
 * Writes a part, usually with V8's code cache beside it, so that starting it compiles nothing. Returns the
 * name of its file. V8 ignores a cache of another V8 or with other flags, but compares only the length of the
 * source: the hash of the source in both names connects them.
 */
function compileAhead(part: string, source: string): string {
	// Latin-1 is read fastest; esbuild escapes characters beyond ASCII, but not in regular expressions.
	if (Buffer.byteLength(source) !== source.length)
		throw new Error(`${part}: a regular expression is not ASCII`);
	const file = `${part}.${createHash("sha256").update(source).digest("hex").slice(0, 16)}.js`;
	writeFileSync(`${out}dist.new/${file}`, source);
	if (options["no-code-cache"] !== true) writeCodeCache(`${out}dist.new/${file}`, hot);
	return file;
}
