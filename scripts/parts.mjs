/**
 * The commands' code as few files, each compiled ahead: a run loads the parts that it needs, and no other.
 *
 * esbuild makes a chunk of the modules that the same entries need: some eighty, too many to open one by one.
 * They are put together by PARTS, each chunk a function within the file of its part, as with CommonJS.
 */
import { basename } from "node:path";
import { build } from "esbuild";

/** Entries, by the names of their files, that are needed together. */
const L3DSR = ["l3dsr"];
const SERVICES = ["up", "down", "status", "check", "diff", "dsrctl"];
const IPTABLES = ["iptables-daddr", "command", "save", "restore"];
const DATAPATH = ["host-datapath", "file-lock"];
const YAML = ["parse-config", "service-conflicts", "table-setting"];

/**
 * Part → what its chunks are needed by: at least one entry of each list, and at once (not by import()). A chunk
 * belongs to the first part that it fits; one that fits none, to a part named after the only entry that needs it,
 * or to `shared`.
 */
const PARTS = [
	["base", [L3DSR, IPTABLES]],
	["datapath", [DATAPATH]],
	["base", [SERVICES, IPTABLES]],
	["l3dsr", [L3DSR]],
	["services", [SERVICES]],
	["iptables", [IPTABLES]],
	["yaml", [YAML]],
];

/** Of each chunk's function: where its exports go, require() of Node, of chunks and Node, and import(). */
const PARAMETERS = "__exports,require,__load,__import,__url";

/** l3dsr starts no command through commander, and node:child_process takes as long to load as commander itself. */
const withoutChildProcess = {
	name: "without-child-process",
	setup({ onLoad }) {
		onLoad({ filter: /\/commander\/lib\/command\.js$/ }, async ({ path }) => {
			const { readFile } = await import("node:fs/promises");
			const source = await readFile(path, "utf8");
			const line = "const childProcess = require('node:child_process');";
			if (!source.includes(line)) throw new Error(`${path} does not begin as it did: look at it again`);
			return { contents: source.replace(line, "const childProcess = undefined;"), loader: "js" };
		});
	},
};

/**
 * Bundles `entries` (paths below `root`). Returns each part with its chunks and its text (an expression: an
 * object of functions, by the chunks' names), and entry → chunk.
 */
export async function bundleParts(root, entries) {
	const { outputFiles, metafile } = await build({
		absWorkingDir: root,
		entryPoints: entries,
		outdir: "dist",
		bundle: true,
		splitting: true,
		write: false,
		metafile: true,
		platform: "node",
		target: "node24",
		conditions: ["@l3dsr/source"],
		format: "esm",
		chunkNames: "[name]-[hash]",
		external: ["koffi"],
		define: { "import.meta.url": "__url" },
		minifySyntax: true,
		minifyWhitespace: true,
		lineLimit: 160, // so that a stack trace tells lines
		plugins: [withoutChildProcess],
		logLevel: "warning",
	});
	const needing = entriesNeeding(metafile.outputs);
	const texts = new Map(outputFiles.map(({ path, text }) => [basename(path), text]));
	const parts = new Map();
	for (const [chunk, text] of [...texts].sort(([a], [b]) => (a < b ? -1 : 1))) {
		const part = partOf(needing.get(chunk));
		const body = `${JSON.stringify(`./${chunk}`)}(${PARAMETERS}){${asCommonJs(text, chunk)}}`;
		const { bodies, chunks } = parts.get(part) ?? { bodies: [], chunks: [] };
		parts.set(part, { bodies: [...bodies, body], chunks: [...chunks, `./${chunk}`] });
	}
	const chunkOf = new Map(
		Object.entries(metafile.outputs).map(([path, { entryPoint }]) => [entryPoint, `./${basename(path)}`]),
	);
	return {
		parts: new Map(
			[...parts].map(([part, { bodies, chunks }]) => [part, { text: `({${bodies.join(",\n")}})`, chunks }]),
		),
		chunkOf,
	};
}

/** Chunk → the names of the entries that load it at once. */
function entriesNeeding(outputs) {
	const needing = new Map(Object.keys(outputs).map((path) => [basename(path), new Set()]));
	for (const [path, { entryPoint }] of Object.entries(outputs)) {
		if (entryPoint === undefined) continue;
		const entry = basename(entryPoint, ".ts");
		const visit = (at) => {
			const known = needing.get(basename(at));
			if (known.has(entry)) return;
			known.add(entry);
			for (const { path: to, kind, external } of outputs[at].imports) {
				if (kind === "import-statement" && external !== true) visit(to);
			}
		};
		visit(path);
	}
	return needing;
}

function partOf(needing) {
	const found = PARTS.find(([, lists]) => lists.every((list) => list.some((entry) => needing.has(entry))));
	if (found !== undefined) return found[0];
	const [only, ...others] = needing;
	return others.length === 0 ? only : "shared";
}

/**
 * What esbuild writes for a module, as the body of a function. Values are taken over as they are when a module has
 * run: nothing exported changes later. Whatever statement is not known here stays, and then does not compile.
 */
function asCommonJs(text, chunk) {
	let head = "";
	const statement =
		/(?<=^|[;}\n])import\s*(?:(?:\{([^}]*)\}|(?:\*\s*as\s+)?([\w$]+))\s*from\s*)?("(?:node:|\.\/)[^"]+")\s*;/g;
	const rest = text.replace(statement, (_, names, whole, specifier) => {
		const bound = names === undefined ? whole : `{${names.replace(/\s+as\s+/g, ":")}}`;
		head += `${bound === undefined ? "" : `const ${bound}=`}__load(${specifier});\n`;
		return "";
	});
	const exported = /\bexport\s*\{([^}]*)\}\s*;\s*$/.exec(rest);
	if (exported === null) throw new Error(`${chunk} exports nothing`);
	const tail = exported[1]
		.split(",")
		.map((name) => name.trim().split(/\s+as\s+/))
		.map(([local, name = local]) => `__exports.${name}=${local};`)
		.join("");
	const body = rest.slice(0, exported.index).replace(/\bimport\(("[^"]+")\)/g, "__import($1)");
	return `"use strict";${head}${body}${tail}`;
}
