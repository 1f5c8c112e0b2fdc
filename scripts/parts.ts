/**
 * The commands' code in a few files, each compiled ahead: a run loads only the parts that it needs.
 *
 * esbuild makes a chunk of the modules that the same entries need: about eighty, too many to open one by one.
 * PARTS combines them; each chunk becomes a function in the file of its part, as with CommonJS.
 */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { build, type Metafile, type Plugin } from "esbuild";
import { CHUNK_HEAD } from "./code-cache.ts";
import { directImports } from "./direct-imports.ts";

/** PART/NUMBER. */
export type ChunkName = string;

/** Entries, by the names of their files, that are needed together. */
const SERVICES = ["up", "down", "status", "check", "diff", "dsrctl"];
const IPTABLES = ["command", "save", "restore"];
const HOLD = ["drain", "enable", "disable"];
const DIRECTOR = ["director", "director-record"];
const YAML = ["parse-config", "service-conflicts", "host-settings"];

/**
 * Maps parts to the entries that need their chunks: at least one entry of each list, and statically (not by
 * import()). A chunk belongs to the first part that it fits; any other to a part named after the only entry
 * that needs it, or to `shared`.
 */
const PARTS: readonly (readonly [part: string, neededBy: readonly (readonly string[])[]])[] = [
	["base", [["iptables-daddr"]]],
	["base", [["l3dsr"], IPTABLES]],
	["l3dsr", [["l3dsr"]]],
	["rules", [IPTABLES, ["host-datapath"]]],
	["datapath", [["host-datapath", "file-lock"]]],
	["ebpf", [["interface-change", "compile"]]],
	["rules", [SERVICES, IPTABLES]],
	["services", [SERVICES]],
	["hold", [HOLD]],
	["director", [DIRECTOR]],
	["iptables", [IPTABLES]],
	["yaml", [[...YAML, "document", "read-value"]]],
	["top", [["top", "watch-status"]]],
];

/**
 * l3dsr starts no command through commander, and node:child_process takes as long to load as commander
 * itself.
 */
const withoutChildProcess: Plugin = {
	name: "without-child-process",
	setup({ onLoad }) {
		onLoad({ filter: /\/commander\/lib\/command\.js$/ }, async ({ path }) => {
			const source = await readFile(path, "utf8");
			const line = "const childProcess = require('node:child_process');";
			if (!source.includes(line)) throw new Error(`${path} does not begin as it did: look at it again`);
			return { contents: source.replace(line, "const childProcess = undefined;"), loader: "js" };
		});
	},
};

/**
 * Bundles `entries` (paths below `root`). Returns the text of each part, an expression: an object of functions by
 * the names of chunks; and the chunk of each entry. The function of a chunk takes its exports, require() for Node,
 * require() for chunks and Node, import(), and the URL and the folder that import.meta has.
 */
export async function bundleParts(
	root: string,
	entries: readonly string[],
): Promise<{
	readonly parts: ReadonlyMap<string, string>;
	readonly chunkOf: ReadonlyMap<string, ChunkName>;
}> {
	const { outputFiles, metafile } = await build({
		absWorkingDir: root,
		entryPoints: [...entries],
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
		// The library's build for browsers consists of ES modules: esbuild drops the unused fifth and joins the rest into
		// one function. Its build for Node is CommonJS, which esbuild keeps whole, with a function for each module.
		alias: { yaml: join(root, "node_modules/yaml/browser/index.js") },
		define: { "import.meta.url": "__url", "import.meta.dirname": "__dir" },
		minifySyntax: true,
		minifyWhitespace: true,
		lineLimit: 160, // so that stack traces have useful lines
		plugins: [withoutChildProcess, directImports(root)],
		logLevel: "warning",
	});
	const needing = entriesNeeding(metafile.outputs);
	const texts = new Map(outputFiles.map(({ path, text }) => [basename(path), text]));
	const counts = new Map<string, number>();
	const nameOf = new Map<string, ChunkName>();
	for (const file of [...texts.keys()].sort()) {
		const part = partOf(needing.get(file) ?? new Set());
		const number = counts.get(part) ?? 0;
		counts.set(part, number + 1);
		nameOf.set(`./${file}`, `${part}/${number}`);
	}
	const bodies = new Map<string, string[]>();
	for (const [file, name] of nameOf) {
		const body = `"${name}"${CHUNK_HEAD}${asCommonJs(texts.get(basename(file)) ?? "", file, nameOf)}}`;
		const [part = ""] = name.split("/");
		bodies.set(part, [...(bodies.get(part) ?? []), body]);
	}
	const chunkOf = new Map<string, ChunkName>();
	for (const [path, { entryPoint }] of Object.entries(metafile.outputs)) {
		const name = nameOf.get(`./${basename(path)}`);
		if (entryPoint !== undefined && name !== undefined) chunkOf.set(entryPoint, name);
	}
	return { parts: new Map([...bodies].map(([part, all]) => [part, `({${all.join(",\n")}})`])), chunkOf };
}

/** Maps chunks to the names of the entries that load them statically. */
function entriesNeeding(outputs: Metafile["outputs"]): ReadonlyMap<string, ReadonlySet<string>> {
	const needing = new Map(Object.keys(outputs).map((path) => [basename(path), new Set<string>()]));
	for (const [path, { entryPoint }] of Object.entries(outputs)) {
		if (entryPoint === undefined) continue;
		const entry = basename(entryPoint, ".ts");
		const visit = (at: string): void => {
			const known = needing.get(basename(at));
			if (known === undefined || known.has(entry)) return;
			known.add(entry);
			for (const { path: to, kind, external } of outputs[at]?.imports ?? []) {
				if (kind === "import-statement" && external !== true) visit(to);
			}
		};
		visit(path);
	}
	return needing;
}

function partOf(needing: ReadonlySet<string>): string {
	const found = PARTS.find(([, lists]) => lists.every((list) => list.some((entry) => needing.has(entry))));
	if (found !== undefined) return found[0];
	const [only, ...others] = needing;
	return only !== undefined && others.length === 0 ? only : "shared";
}

/**
 * Converts esbuild's output for a module to the body of a function. Values are copied when a module has run:
 * no export changes later. An unknown statement stays as it is and then does not compile.
 */
function asCommonJs(text: string, file: string, nameOf: ReadonlyMap<string, ChunkName>): string {
	const named = (specifier: string): string => JSON.stringify(nameOf.get(specifier) ?? specifier);
	let head = "";
	const statement =
		/(?<=^|[;}\n])import\s*(?:(?:\{([^}]*)\}|(?:\*\s*as\s+)?([\w$]+))\s*from\s*)?"((?:node:|\.\/)[^"]+)"\s*;/g;
	const rest = text.replace(
		statement,
		(_, names: string | undefined, whole: string | undefined, specifier: string) => {
			const bound = names === undefined ? whole : `{${names.replace(/\s+as\s+/g, ":")}}`;
			head += `${bound === undefined ? "" : `const ${bound}=`}__load(${named(specifier)});\n`;
			return "";
		},
	);
	const exported = /\bexport\s*\{([^}]*)\}\s*;\s*$/.exec(rest);
	if (exported === null) throw new Error(`${file} exports nothing`);
	const tail = (exported[1] ?? "")
		.split(",")
		.map((name) => name.trim().split(/\s+as\s+/))
		.map(([local, name = local]) => `__exports.${name}=${local};`)
		.join("");
	const body = rest
		.slice(0, exported.index)
		.replace(/\bimport\("([^"]+)"\)/g, (_, specifier: string) => `__import(${named(specifier)})`);
	return `"use strict";${head}${body}${tail}`;
}
