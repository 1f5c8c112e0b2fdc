/**
 * Bundles every command into dist/ and writes bin/NAME for each, with the absolute path of this Node in
 * its first line: dsrctl must start with an empty PATH, from cron and from boot scripts.
 */
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

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

const present = new Set(readdirSync(`${root}src/cli`));
const entries = [...new Set(Object.values(COMMANDS))].filter((file) => present.has(file));
rmSync(`${root}dist.new`, { recursive: true, force: true });
await build({
	absWorkingDir: root,
	entryPoints: entries.map((file) => `src/cli/${file}`),
	outdir: "dist.new",
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
	logLevel: "warning",
});

// Built beside the old and swapped in: a build that fails takes nothing away.
rmSync(`${root}dist`, { recursive: true, force: true });
renameSync(`${root}dist.new`, `${root}dist`);
mkdirSync(`${root}bin`, { recursive: true });
for (const [name, file] of Object.entries(COMMANDS)) {
	if (!present.has(file)) continue;
	const bundle = file.replace(/\.ts$/, ".cjs");
	const path = `${root}bin/${name}`;
	writeFileSync(path, `#!${process.execPath}\nrequire("../dist/${bundle}").main(${JSON.stringify(name)});\n`);
	chmodSync(path, 0o755);
}
writeFileSync(`${root}bin/package.json`, '{ "type": "commonjs" }\n');
