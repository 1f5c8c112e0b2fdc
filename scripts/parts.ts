/**
 * The commands' code in a few files, each compiled ahead: a run loads only the parts that it needs.
 *
 * esbuild makes a chunk of the modules that the same entries need: about eighty, too many to open and to connect one by
 * one. PARTS says which are loaded together; esbuild combines these once more, in one scope. The result is a function in
 * the file of its part, as with CommonJS.
 */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { build, type Metafile, type Plugin } from "esbuild";
import { FUNCTION_HEAD } from "./code-cache.ts";
import { directImports } from "./direct-imports.ts";

/** PART/NUMBER, or of an entry, PART/NAME. */
export type FunctionName = string;

/** Begins the specifier of a function in the import statements of others. */
const PART = "part:";

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
	["base", [["iptables-daddr"], ["l3dsr"]]],
	["base", [["iptables-daddr"]]],
	["base", [["l3dsr"], IPTABLES]],
	["l3dsr", [["l3dsr"]]],
	["rules", [IPTABLES, ["host-datapath"]]],
	["datapath", [["host-datapath", "file-lock"]]],
	["rules", [SERVICES, IPTABLES]],
	["programs", [["observe-programs", "refused", "size"]]],
	["ebpf", [["change-programs", "interface-change", "compile"]]],
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
 * name; and the name of each entry's function. A function takes its exports (an array, to which an entry adds
 * properties), require() for Node, require() for the other functions and Node, import(), and the URL and the folder that
 * import.meta has.
 */
export async function bundleParts(
	root: string,
	entries: readonly string[],
): Promise<{
	readonly parts: ReadonlyMap<string, string>;
	readonly functionOf: ReadonlyMap<string, FunctionName>;
}> {
	const chunks = await chunksOf(root, entries);
	refuseCycles(chunks);
	const numbers = numberExports(chunks);
	const parts = new Map<string, string[]>();
	const add = (name: FunctionName, body: string): void => {
		const [part = ""] = name.split("/");
		parts.set(part, [...(parts.get(part) ?? []), `"${name}"${FUNCTION_HEAD}"use strict";${body}}`]);
	};
	for (const group of new Set([...chunks.values()].map((chunk) => chunk.group)))
		add(group, await combine(root, group, chunks, numbers));
	const functionOf = new Map<string, FunctionName>();
	for (const [file, { entry, group }] of chunks) {
		if (entry === undefined) continue;
		const name = entryName(file, group);
		functionOf.set(entry, name);
		const own = [...(numbers.get(file) ?? [])].map(
			([exported, at]) => `__exports.${exported}=__load("${group}")[${at}];`,
		);
		add(name, own.join(""));
	}
	return {
		parts: new Map([...parts].map(([part, all]) => [part, `({${all.join(",\n")}})`])),
		functionOf,
	};
}

/** A chunk of esbuild's, and the functions it goes to: those of one group are one. */
interface Chunk {
	readonly text: string;
	/** Of other chunks. */
	readonly imports: readonly Import[];
	readonly group: FunctionName;
	/** The path of its source, of a command or of what import() loads. */
	readonly entry: string | undefined;
}

/** By the names of their files. */
type Chunks = ReadonlyMap<string, Chunk>;

async function chunksOf(root: string, entries: readonly string[]): Promise<Chunks> {
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
		plugins: [withoutChildProcess, directImports(root)],
		logLevel: "warning",
	});
	const needing = entriesNeeding(metafile.outputs);
	const sources = new Map(
		Object.entries(metafile.outputs).map(([path, { entryPoint }]) => [basename(path), entryPoint]),
	);
	const groups = new Map<string, FunctionName>();
	return new Map(
		outputFiles
			.map(({ path, text }) => [basename(path), text] as const)
			.sort(([one], [other]) => (one < other ? -1 : 1))
			.map(([file, text]) => [
				file,
				{
					text,
					imports: importsOf(text),
					group: groupOf(needing.get(file) ?? new Set(), groups),
					entry: sources.get(file),
				},
			]),
	);
}

/** A function that is loaded while it loads others would give them nothing. */
function refuseCycles(chunks: Chunks): void {
	const needs = new Map<FunctionName, Set<FunctionName>>();
	for (const { imports, group } of chunks.values()) {
		const others = needs.get(group) ?? new Set();
		needs.set(group, others);
		for (const { from } of imports) {
			const other = chunks.get(from)?.group;
			if (other !== undefined && other !== group) others.add(other);
		}
	}
	while (needs.size > 0) {
		const [free] = [...needs].find(([, others]) => others.size === 0) ?? [];
		if (free === undefined) throw new Error(`parts: need each other: ${[...needs.keys()].join(", ")}`);
		needs.delete(free);
		for (const others of needs.values()) others.delete(free);
	}
}

/** The places of exports in the arrays of their groups: of all that entries export, and that other groups import. */
function numberExports(chunks: Chunks): ReadonlyMap<string, ReadonlyMap<string, number>> {
	const numbers = new Map([...chunks.keys()].map((file) => [file, new Map<string, number>()]));
	const next = new Map<FunctionName, number>();
	const number = (file: string, name: string): void => {
		const [of, group] = [numbers.get(file), chunks.get(file)?.group];
		if (of === undefined || group === undefined) throw new Error(`parts: esbuild made no chunk ${file}`);
		if (of.has(name)) return;
		of.set(name, next.get(group) ?? 0);
		next.set(group, (next.get(group) ?? 0) + 1);
	};
	for (const [file, { text, imports, group, entry }] of chunks) {
		if (entry !== undefined) for (const { as } of exportsOf(text)) number(file, as);
		for (const { from, names } of imports) {
			if (chunks.get(from)?.group !== group) for (const { name } of names) number(from, name);
		}
	}
	return numbers;
}

/** Combines the chunks of a group, in one scope. Returns the body of its function. */
async function combine(
	root: string,
	group: FunctionName,
	chunks: Chunks,
	numbers: ReadonlyMap<string, ReadonlyMap<string, number>>,
): Promise<string> {
	const own = [...chunks].filter(([, chunk]) => chunk.group === group);
	const exported = own.map(([file]) => {
		const names = [...(numbers.get(file) ?? [])].map(([name, at]) => `${name} as e${at}`);
		return `export {${names.join(",")}} from "./${file}";\n`;
	});
	const { outputFiles } = await build({
		absWorkingDir: root,
		stdin: { contents: exported.join(""), resolveDir: root },
		bundle: true,
		write: false,
		platform: "node",
		target: "node24",
		format: "esm",
		minify: true,
		lineLimit: 160, // so that stack traces have useful lines
		logLevel: "warning",
		// No module of ours is loaded for its effects.
		logOverride: { "ignored-bare-import": "silent" },
		plugins: [
			{
				name: "chunks",
				setup({ onResolve, onLoad }) {
					onResolve({ filter: /./ }, ({ path, kind }) => {
						const chunk = chunks.get(path.slice("./".length));
						if (kind === "entry-point") return;
						if (chunk === undefined || kind === "dynamic-import")
							return { path, external: true, sideEffects: !path.startsWith(PART) };
						return {
							path: path.slice("./".length),
							namespace: chunk.group === group ? "own" : "foreign",
							sideEffects: chunk.group === group,
						};
					});
					onLoad({ filter: /./, namespace: "own" }, ({ path }) => ({
						contents: chunks.get(path)?.text ?? "",
						loader: "js",
					}));
					onLoad({ filter: /./, namespace: "foreign" }, ({ path }) => ({
						contents: [...(numbers.get(path) ?? [])]
							.map(([name, at]) => `export {e${at} as ${name}} from "${PART}${chunks.get(path)?.group}";`)
							.join(""),
						loader: "js",
					}));
				},
			},
		],
	});
	return asFunction(outputFiles[0]?.text ?? "", (file) => {
		const chunk = chunks.get(file);
		if (chunk === undefined) throw new Error(`parts: ${group} imports ${file}`);
		return entryName(file, chunk.group);
	});
}

/** The name of the function that has the exports of an entry as properties. */
function entryName(file: string, group: FunctionName): FunctionName {
	return `${group.split("/")[0]}/${file.replace(/\.js$/, "")}`;
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

/**
 * The function that a chunk goes to. The chunks of one line of PARTS go together if the same of its entries need them,
 * so that none brings what another command needs; and so do those that only one entry needs.
 */
function groupOf(needing: ReadonlySet<string>, groups: Map<string, FunctionName>): FunctionName {
	const line = PARTS.find(([, lists]) => lists.every((list) => list.some((entry) => needing.has(entry))));
	const [only = "", ...others] = needing;
	const [part, entries] =
		line === undefined
			? [others.length === 0 ? only : "shared", needing]
			: [line[0], line[1].flat().filter((entry) => needing.has(entry))];
	const key = [part, ...entries].join(" ");
	const known = groups.get(key);
	if (known !== undefined) return known;
	const group = `${part}/${groups.size}`;
	groups.set(key, group);
	return group;
}

/**
 * Converts esbuild's output for a module to the body of a function. Values are copied when a module has run:
 * no export changes later. An unknown statement stays as it is and then does not compile.
 */
function asFunction(text: string, entryOf: (file: string) => FunctionName): string {
	let head = "";
	const bound = new Map<string, string[]>();
	const statement =
		/(?<=^|[;}\n])import\s*(?:(?:\{([^}]*)\}|(?:\*\s*as\s+)?([\w$]+))\s*from\s*)?"((?:node:|part:)[^"]+)"\s*;/g;
	const rest = text.replace(
		statement,
		(_, names: string | undefined, whole: string | undefined, specifier: string) => {
			const of = bound.get(specifier) ?? [];
			bound.set(specifier, of);
			if (whole !== undefined) head += `const ${whole}=__load("${specifier}");`;
			for (const { name, as } of specifiers(names ?? ""))
				of.push(`${specifier.startsWith(PART) ? placeOf(name) : name}:${as}`);
			return "";
		},
	);
	for (const [specifier, names] of bound) {
		if (names.length > 0) head += `const {${names.join(",")}}=__load("${specifier.replace(PART, "")}");\n`;
	}
	const exported = exportsOf(rest).toSorted((one, other) => placeOf(one.as) - placeOf(other.as));
	const tail = exported.length === 0 ? "" : `__exports.push(${exported.map(({ name }) => name).join(",")});`;
	const body = rest
		.replace(EXPORT, "")
		.replace(/\bimport\("\.\/([^"]+)"\)/g, (_, file: string) => `__import("${entryOf(file)}")`);
	return `${head}${body}${tail}`;
}

/** The place in its group's array of what `combine` exports as e0, e1 and so on. */
function placeOf(name: string): number {
	return Number(name.slice(1));
}

const EXPORT = /\bexport\s*\{([^}]*)\}\s*;\s*$/;

/** `name`: in the scope of the text; `as`: the exported name. */
function exportsOf(text: string): Specifier[] {
	return specifiers(EXPORT.exec(text)?.[1] ?? "");
}

interface Import {
	readonly from: string;
	readonly names: readonly Specifier[];
}

/** The import statements of a chunk, for other chunks. */
function importsOf(text: string): Import[] {
	return [...text.matchAll(/^import \{([^}]*)\} from "\.\/([^"]+)";/gm)].map(([, names = "", from = ""]) => ({
		from,
		names: specifiers(names),
	}));
}

interface Specifier {
	readonly name: string;
	readonly as: string;
}

/** The names between the braces of an import or export. */
function specifiers(names: string): Specifier[] {
	return names
		.split(",")
		.map((one) => one.trim())
		.filter(Boolean)
		.map((one) => {
			const [name = "", as = name] = one.split(/\s+as\s+/);
			return { name, as };
		});
}
