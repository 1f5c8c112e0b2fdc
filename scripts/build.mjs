/**
 * Bundles every command into dist/ and writes bin/NAME for each, with the absolute path of a Node in its
 * first line: dsrctl must start with an empty PATH, from cron and from boot scripts.
 *
 * For packages: --out DIR builds there instead of here, --runtime PATH is the Node of the first lines.
 */
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { Script } from "node:vm";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values: options } = parseArgs({ options: { out: { type: "string" }, runtime: { type: "string" } } });
const out = options.out === undefined ? root : `${resolve(options.out)}/`;
const { version } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
const runtime = options.runtime ?? process.execPath;

/** command → entry file under src/cli. One program serves several names, as with iptables. */
const COMMANDS = {
	l3dsr: "l3dsr.ts",
	dsrctl: "dsrctl.ts",
	"iptables-daddr": "iptables-daddr.ts",
	"ip6tables-daddr": "iptables-daddr.ts",
	"iptables-daddr-save": "iptables-daddr.ts",
	"ip6tables-daddr-save": "iptables-daddr.ts",
	"iptables-daddr-restore": "iptables-daddr.ts",
	"ip6tables-daddr-restore": "iptables-daddr.ts",
};

/** What stands at NAME.cjs. Without the cache, or when V8 does not take it, the source is compiled as usual. */
const LOADER = `"use strict";
const { readFileSync } = require("node:fs");
const path = __dirname + "/COMPILED";
let cachedData;
try {
	cachedData = readFileSync(path + ".cache");
} catch {}
const { Script } = require("node:vm");
const script = new Script(readFileSync(path, "latin1"), { filename: "COMPILED", cachedData });
script.runInThisContext()(exports, require, module, __filename, __dirname);
`;

const present = new Set(readdirSync(`${root}src/cli`));
const entries = [...new Set(Object.values(COMMANDS))].filter((file) => present.has(file));
rmSync(`${out}dist.new`, { recursive: true, force: true });
await build({
	absWorkingDir: root,
	entryPoints: entries.map((file) => `src/cli/${file}`),
	outdir: `${out}dist.new`,
	bundle: true,
	platform: "node",
	target: "node20",
	format: "cjs",
	outExtension: { ".js": ".cjs" },
	external: ["koffi"],
	// The C library is reached by a require() made from import.meta.url, which CommonJS does not have.
	define: { "import.meta.url": "import_meta_url" },
	banner: { js: 'const import_meta_url = require("node:url").pathToFileURL(__filename).href;' },
	minifySyntax: true,
	minifyWhitespace: true,
	lineLimit: 160, // so that a stack trace tells lines
	// Run as a Script (below), import() would need a callback; as require() it needs none.
	supported: { "dynamic-import": false },
	logLevel: "warning",
});
for (const file of entries) compileAhead(file.replace(/\.ts$/, ""));

// The library `l3dsr/bpf` (package.json, exports). Packages of commands have no use for it.
if (options.out === undefined) {
	await build({
		absWorkingDir: root,
		entryPoints: ["src/bpf/index.ts"],
		outfile: `${out}dist.new/bpf.mjs`,
		bundle: true,
		platform: "node",
		target: "node20",
		format: "esm",
		external: ["koffi"],
		logLevel: "warning",
	});
}

// Built beside the old and swapped in: a build that fails takes nothing away.
rmSync(`${out}dist`, { recursive: true, force: true });
renameSync(`${out}dist.new`, `${out}dist`);
mkdirSync(`${out}bin`, { recursive: true });
for (const [name, file] of Object.entries(COMMANDS)) {
	if (!present.has(file)) continue;
	const bundle = file.replace(/\.ts$/, ".cjs");
	const path = `${out}bin/${name}`;
	const start = `require("../dist/${bundle}").main(${JSON.stringify(name)});`;
	// The version is asked for often, by inventories, and needs no program.
	const answer = `process.argv[3] === undefined && /^(-V|--version)$/.test(process.argv[2])`;
	const line = name === "l3dsr" ? `if (${answer}) console.log("l3dsr ${version}");\nelse ${start}` : start;
	writeFileSync(path, `#!${runtime}\n${line}\n`);
	chmodSync(path, 0o755);
}
writeFileSync(`${out}bin/package.json`, '{ "type": "commonjs" }\n');

/**
 * Puts V8's code cache beside a bundle, so that starting it compiles nothing: 20 to 40 ms less for a command of
 * 200. V8 ignores a cache that another V8 made, or one with other flags, but of the source it compares only the
 * length: the hash of the source in both names is what ties them together.
 */
function compileAhead(name) {
	const bundle = `${out}dist.new/${name}.cjs`;
	const source = `(function (exports, require, module, __filename, __dirname) {${readFileSync(bundle, "utf8")}\n})`;
	// Latin-1 is read fastest; esbuild escapes what is beyond ASCII, but not in regular expressions.
	if (Buffer.byteLength(source) !== source.length)
		throw new Error(`${name}: a regular expression is not ASCII`);
	const compiled = `${name}.${createHash("sha256").update(source).digest("hex").slice(0, 16)}.js`;
	writeFileSync(`${out}dist.new/${compiled}`, source);
	// Functions are compiled now, not when they are first called, or they would not be in the cache.
	setFlagsFromString("--no-lazy");
	const script = new Script(source, { filename: compiled });
	setFlagsFromString("--lazy");
	writeFileSync(`${out}dist.new/${compiled}.cache`, script.createCachedData());
	writeFileSync(bundle, LOADER.replaceAll("COMPILED", compiled));
}
