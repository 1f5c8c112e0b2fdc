/**
 * Puts the documents into a package: documents.mjs DESTINATION FILE_OR_FOLDER...
 *
 * They keep their places beneath the root of the source tree, so that links between them lead somewhere. A link to
 * what does not come along (the source, say) becomes its text.
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const [destination, ...wanted] = process.argv.slice(2);
for (const path of wanted) {
	mkdirSync(dirname(join(destination, path)), { recursive: true });
	cpSync(path, join(destination, path), { recursive: true });
}
for (const name of readdirSync(destination, { recursive: true, encoding: "utf8" })) {
	const path = join(destination, name);
	if (!name.endsWith(".md") || !statSync(path).isFile()) continue;
	const text = readFileSync(path, "utf8").replace(
		/\[([^\]]+)\]\((?![a-z]+:|#)([^)#]+)(#[^)]*)?\)/g,
		(link, shown, target) => (existsSync(join(dirname(path), target)) ? link : shown),
	);
	writeFileSync(path, text);
}
