/** Fails when a file under src/ imports from a layer that its own may not see (DESIGN: imports point down). */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const src = fileURLToPath(new URL("../src", import.meta.url));

/** layer → the layers it may import, beside itself and errors.ts. A folder stands for all below it. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
	model: [],
	sys: [],
	bpf: ["sys"],
	syntax: ["model"],
	plan: ["model"],
	host: ["model", "sys"],
	datapath: ["model", "syntax", "plan", "bpf", "sys", "host"],
	probe: ["model", "sys"],
	lab: ["model", "syntax", "plan", "datapath", "host", "sys"],
	cli: ["model", "syntax", "plan", "datapath", "host", "lab", "probe", "bpf", "sys"],
};

/** Packages that only one layer may import (FFI and system calls stay in sys). */
const ONLY_IN: Readonly<Record<string, readonly string[]>> = {
	koffi: ["sys"],
	commander: ["cli"],
	yaml: ["syntax"],
	zod: ["syntax"],
};

function layerOf(path: string): string {
	return relative(src, path).split("/")[0] ?? "";
}

const problems: string[] = [];
let files = 0;
for (const entry of readdirSync(src, { recursive: true, encoding: "utf8" })) {
	if (!entry.endsWith(".ts") || entry === "errors.ts") continue;
	files++;
	const path = join(src, entry);
	const layer = layerOf(path);
	const allowed = MAY_IMPORT[layer];
	if (allowed === undefined) {
		problems.push(`src/${entry}: "${layer}" is not a layer; add it to scripts/check-layers.ts and DESIGN`);
		continue;
	}
	const text = readFileSync(path, "utf8");
	for (const [, specifier = ""] of text.matchAll(/(?:from|import|import\()\s*"([^"]+)"/g)) {
		if (specifier.startsWith(".")) {
			const target = resolve(dirname(path), specifier);
			if (target === join(src, "errors.ts")) continue;
			if (layer === "cli" && specifier.endsWith("/package.json")) continue; // for the version
			const other = layerOf(target);
			if (other !== layer && !allowed.includes(other)) {
				problems.push(`src/${entry}: ${layer} may not import ${other} (${specifier})`);
			}
		} else {
			const owners = ONLY_IN[specifier.split("/")[0] ?? ""];
			if (owners !== undefined && !owners.includes(layer)) {
				problems.push(`src/${entry}: only ${owners.join(", ")} may import ${specifier}`);
			}
		}
	}
}
for (const problem of problems) console.error(problem);
console.log(`layers: ${files} files, ${problems.length} problems`);
process.exit(problems.length === 0 ? 0 : 1);
