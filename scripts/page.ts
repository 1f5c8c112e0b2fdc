/**
 * Builds the page that the agent serves (packages/web) into a folder: one document, one script, one style
 * sheet, an icon. The names of script and style sheet depend on their content, so that no browser mixes those
 * of two releases.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const SOURCE = "packages/web/src";

/**
 * `root` is the checkout; `folder` is created. Returns the compressed sizes of the files that a browser
 * loads, in bytes.
 */
export async function buildPage(root: string, folder: string): Promise<ReadonlyMap<string, number>> {
	const { outputFiles } = await build({
		absWorkingDir: root,
		entryPoints: { page: `${SOURCE}/main.tsx`, style: `${SOURCE}/style/page.css` },
		outdir: folder,
		bundle: true,
		write: false,
		format: "esm",
		platform: "browser",
		target: ["es2022", "chrome123", "firefox120", "safari17.5"],
		jsx: "automatic",
		jsxImportSource: "preact",
		minify: true,
		legalComments: "none",
	});
	const contents = new Map<string, Uint8Array>();
	let document = readFileSync(`${root}/${SOURCE}/index.html`, "utf8");
	for (const { path, contents: bytes } of outputFiles) {
		const kind = path.endsWith(".css") ? "css" : "js";
		const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
		const name = `page-${hash}.${kind}`;
		if (!document.includes(`"page.${kind}"`)) throw new Error(`index.html does not load page.${kind}`);
		document = document.replace(`"page.${kind}"`, `"${name}"`);
		contents.set(name, bytes);
	}
	contents.set("icon.svg", readFileSync(`${root}/${SOURCE}/icon.svg`));
	contents.set("index.html", Buffer.from(document));
	mkdirSync(folder, { recursive: true });
	const sizes = new Map<string, number>();
	for (const [name, bytes] of contents) {
		writeFileSync(`${folder}/${name}`, bytes);
		sizes.set(name, gzipSync(bytes).length);
	}
	return sizes;
}
