/**
 * Copies the documents into a package: documents.mjs DESTINATION FILE_OR_FOLDER...
 *
 * They keep their places relative to the root of the source tree, so that links between them work. A link to
 * a file outside the package (such as the source) becomes its text.
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
