/**
 * Fails on an import that the layout forbids (DESIGN: imports point down): a package that imports another
 * without declaring it in package.json, or past its `exports`; a layer of the product that imports a layer
 * above it; an npm package outside the place that owns it; and files that import each other in a cycle.
 *
 *     check-layers.ts [ROOT]
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = process.argv[2] ?? fileURLToPath(new URL("..", import.meta.url));

/**
 * Maps layers of packages/l3dsr/src to the layers, or folders of layers, that they may import, besides themselves and
 * OF_EVERY_LAYER. An entry that no file uses is a problem too, so that the list stays as strict as the code.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
	model: [],
	syntax: ["model"],
	plan: ["model"],
	programs: [],
	host: ["model"],
	rewrite: ["model", "syntax", "plan", "programs", "host"],
	"vip-path": ["programs"],
	balance: ["model", "programs", "rewrite/ebpf/kernel", "host", "vip-path"],
	reconcile: ["model", "syntax", "plan", "host", "rewrite", "balance"],
	sources: ["model", "syntax", "host"],
	inspect: ["model", "syntax", "plan", "programs", "host", "rewrite", "balance", "reconcile", "sources"],
	agent: ["model", "plan", "host", "rewrite", "balance", "reconcile", "sources", "inspect"],
	probe: ["model"],
	serve: ["model", "host", "inspect", "agent"],
	lab: ["model", "syntax", "rewrite", "host"],
	cli: [
		"model",
		"syntax",
		"plan",
		"rewrite",
		"host",
		"reconcile",
		"sources",
		"inspect",
		"agent",
		"serve",
		"lab",
		"probe",
	],
};

/** Files that every layer may import. */
const OF_EVERY_LAYER: ReadonlySet<string> = new Set(
	["errors.ts", "json.ts", "once.ts", "printable.ts"].map((name) => `packages/l3dsr/src/${name}`),
);

/** Maps npm packages to the only places that may import them: a package, or `l3dsr/LAYER`. */
const ONLY_IN: Readonly<Record<string, readonly string[]>> = {
	koffi: ["linux"],
	preact: ["web"],
	uplot: ["web"],
	commander: ["l3dsr/cli"],
	"prom-client": ["l3dsr/serve"],
	yaml: ["l3dsr/syntax"],
	zod: ["l3dsr/syntax", "records"],
};

interface SourceFile {
	/** Relative to the root. */
	readonly path: string;
	readonly package: string;
	/** `l3dsr/host`; the package's name if it has no layers. */
	readonly place: string;
	/** `lazy`: by import(), when a function runs. */
	readonly imports: readonly { readonly specifier: string; readonly lazy: boolean }[];
}

const problems: string[] = [];
const files = new Map(sourceFiles().map((file) => [join(root, file.path), file]));
const used = new Set<string>();
for (const file of files.values()) checkImports(file);
for (const [layer, allowed] of Object.entries(MAY_IMPORT)) {
	for (const other of allowed)
		if (!used.has(`${layer} ${other}`))
			problems.push(`${layer} may import ${other}, but does not: forbid it`);
}
for (const circle of circles()) problems.push(`import cycle: ${circle.join(" -> ")}`);
for (const problem of problems) console.error(problem);
console.log(`layers: ${files.size} files, ${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);

function sourceFiles(): SourceFile[] {
	return readdirSync(join(root, "packages")).flatMap((name) => {
		const src = join(root, "packages", name, "src");
		if (!existsSync(src)) return [];
		const entries = readdirSync(src, { recursive: true, encoding: "utf8" }).sort();
		return entries
			.filter((entry) => /\.tsx?$/.test(entry))
			.map((entry): SourceFile => {
				const layer = entry.includes("/") && name === "l3dsr" ? `${name}/${entry.split("/")[0]}` : name;
				const text = readFileSync(join(src, entry), "utf8");
				return {
					path: `packages/${name}/src/${entry}`,
					package: name,
					place: layer,
					imports: importsOf(text),
				};
			});
	});
}

function importsOf(text: string): SourceFile["imports"] {
	const code = text.replace(/^\s*(\/\/|\/?\*).*$/gm, "");
	const atOnce = [
		...code.matchAll(/^import\b[^;"]*"([^"\n]+)"/gm),
		...code.matchAll(/^export (?:type )?(?:\{[^}]*\}|\*[^;"]*) from "([^"\n]+)"/gm),
	];
	const later = [...code.matchAll(/\bimport\(\s*"([^"\n]+)"/g)];
	return [
		...atOnce.map(([, specifier = ""]) => ({ specifier, lazy: false })),
		...later.map(([, specifier = ""]) => ({ specifier, lazy: true })),
	];
}

function checkImports(file: SourceFile): void {
	const manifest = JSON.parse(readFileSync(join(root, "packages", file.package, "package.json"), "utf8"));
	const declared = { ...manifest.dependencies, ...manifest.peerDependencies };
	for (const { specifier } of file.imports) {
		if (specifier.startsWith("node:")) continue;
		if (specifier.startsWith(".")) {
			checkRelative(file, specifier);
			continue;
		}
		const name = specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
		if (!(name in declared)) problems.push(`${file.path}: packages/${file.package} does not declare ${name}`);
		if (name.startsWith("@l3dsr/") && specifier !== name)
			problems.push(`${file.path}: imports ${specifier}, which is not among the exports of ${name}`);
		const owners = ONLY_IN[name];
		if (owners !== undefined && !owners.includes(file.place))
			problems.push(`${file.path}: only ${owners.join(", ")} may import ${name}`);
	}
}

function checkRelative(file: SourceFile, specifier: string): void {
	const path = resolve(root, dirname(file.path), specifier);
	const target = files.get(path);
	if (target === undefined) {
		// The version comes from the product's own package.json.
		if (relative(root, path) === `packages/${file.package}/package.json`) return;
		problems.push(`${file.path}: imports ${specifier}, which is not a source file of a package`);
		return;
	}
	if (target.package !== file.package) {
		problems.push(`${file.path}: imports ${target.path} past the exports of its package`);
		return;
	}
	if (file.package !== "l3dsr" || OF_EVERY_LAYER.has(target.path)) return;
	const [layer = "", other = ""] = [file.place, target.place].map((place) => place.split("/")[1] ?? "");
	if (layer === "") return; // every layer may import these files
	const allowed = MAY_IMPORT[layer];
	if (allowed === undefined) {
		problems.push(`${file.path}: "${layer}" is not a layer; add it to scripts/check-layers.ts and DESIGN`);
		return;
	}
	if (other === layer) return;
	const entry = allowed.find((one) => target.path.startsWith(`packages/l3dsr/src/${one}/`));
	if (entry === undefined) problems.push(`${file.path}: ${layer} may not import ${other} (${specifier})`);
	else used.add(`${layer} ${entry}`);
}

/**
 * Finds each import cycle once, by depth-first search. Imports that happen when a function runs do not count.
 */
function circles(): string[][] {
	const found: string[][] = [];
	const done = new Set<string>();
	const way: string[] = [];
	const visit = (path: string): void => {
		if (done.has(path)) return;
		const at = way.indexOf(path);
		if (at >= 0) {
			found.push([...way.slice(at), path].map((one) => relative(root, one)));
			return;
		}
		way.push(path);
		for (const { specifier, lazy } of files.get(path)?.imports ?? []) {
			const target = resolve(dirname(path), specifier);
			if (!lazy && specifier.startsWith(".") && files.has(target)) visit(target);
		}
		way.pop();
		done.add(path);
	};
	for (const path of files.keys()) visit(path);
	return found;
}
