/**
 * For esbuild: replaces an import from an entry point (`@l3dsr/bpf`, or a folder's index.ts) by one from the
 * module that defines the name. esbuild removes unused parts of modules behind an entry point, but puts the
 * rest into the chunk that everything loads: every command would load the assembler for the class BpfError.
 */
import { existsSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Plugin } from "esbuild";

const STATIC_IMPORT = /^import \{([^}]*)\} from "([^"]+)";/gm;
const DYNAMIC_IMPORT = /const \{([^}]*)\} = await import\("([^"]+)"\)/g;

/**
 * Maps a name of an entry point to the module that defines it, and its name there; `*` is the whole module.
 */
type Exports = ReadonlyMap<string, { readonly path: string; readonly name: string }>;

export function directImports(root: string): Plugin {
	const known = new Map<string, Exports>();
	/** The exports of a module. For a module that is not an entry point, its own definitions. */
	function exportsOf(path: string): Exports {
		const before = known.get(path);
		if (before !== undefined) return before;
		const found = new Map<string, { path: string; name: string }>();
		known.set(path, found);
		const text = readFileSync(path, "utf8");
		for (const [, name = ""] of text.matchAll(
			/^export (?:async )?(?:const|let|function\*?|class|abstract class) (\w+)/gm,
		))
			found.set(name, { path, name });
		for (const [, whole, names, from = ""] of text.matchAll(
			/^export (?:\* as (\w+)|\*|(?:type )?\{([^}]*)\}) from "(\.[^"]+)";/gm,
		)) {
			const target = join(dirname(path), from);
			if (whole !== undefined) found.set(whole, { path: target, name: "*" });
			else if (names === undefined) for (const [name, one] of exportsOf(target)) found.set(name, one);
			else {
				for (const { imported, local } of specifiers(names)) {
					const one = exportsOf(target).get(imported);
					if (one !== undefined) found.set(local, one);
				}
			}
		}
		return found;
	}

	/** The imported module, if it is an entry point. */
	function entrance(specifier: string, importer: string): string | undefined {
		const [, library] = /^@l3dsr\/(\w+)$/.exec(specifier) ?? [];
		if (library !== undefined) return join(root, "packages", library, "src/index.ts");
		return specifier.startsWith(".") && specifier.endsWith("/index.ts")
			? join(dirname(importer), specifier)
			: undefined;
	}

	/** The values of `list` and their places; undefined if `specifier` is not an entry point. */
	function located(list: string, specifier: string, importer: string) {
		const path = entrance(specifier, importer);
		if (path === undefined || !existsSync(path)) return undefined;
		const exports = exportsOf(path);
		return specifiers(list).map(({ imported, local }) => {
			const one = exports.get(imported);
			if (one === undefined) throw new Error(`${importer}: ${specifier} does not export ${imported}`);
			return { ...one, local };
		});
	}

	function direct(source: string, importer: string): string {
		return source
			.replace(STATIC_IMPORT, (statement: string, list: string, specifier: string) => {
				const found = located(list, specifier, importer)?.map(({ path, name, local }) =>
					name === "*"
						? `import * as ${local} from ${JSON.stringify(path)};`
						: `import { ${name} as ${local} } from ${JSON.stringify(path)};`,
				);
				// Keep the number of lines, so that positions in messages stay right.
				return found === undefined ? statement : found.join(" ") + statement.replace(/[^\n]/g, "");
			})
			.replace(DYNAMIC_IMPORT, (statement: string, list: string, specifier: string) => {
				const found = located(list, specifier, importer);
				if (found === undefined) return statement;
				const loads = [...Map.groupBy(found, ({ path }) => path)].map(([path, names]) => {
					const bound = names.map(({ name, local }) => `${name}: ${local}`).join(", ");
					return `{ ${bound} } = await import(${JSON.stringify(path)})`;
				});
				return `const ${loads.join(", ")}${statement.replace(/[^\n]/g, "")}`;
			});
	}

	return {
		name: "direct-imports",
		setup({ onLoad }) {
			onLoad({ filter: /\/packages\/[\w-]+\/src\/.*\.ts$/ }, async ({ path }) => {
				return { contents: direct(await readFile(path, "utf8"), path), loader: "ts" };
			});
		},
	};
}

/** `a, type B, c as d` without types. */
function specifiers(list: string): { readonly imported: string; readonly local: string }[] {
	return list
		.split(",")
		.map((one) => one.trim())
		.filter((one) => one !== "" && !one.startsWith("type "))
		.map((one) => {
			const [imported = "", local = imported] = one.split(/\s+as\s+/);
			return { imported, local };
		});
}
