/**
 * Writes the package.json of the npm package of the commands: npm-manifest.mjs STAGE, where STAGE is the
 * folder that npm packs. Dependencies that are bundled are left out.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const [stage] = process.argv.slice(2);
const read = (path) =>
	JSON.parse(readFileSync(new URL(`../packages/${path}/package.json`, import.meta.url), "utf8"));
const { private: _, exports: __, scripts: ___, dependencies: ____, ...product } = read("l3dsr");
const { koffi } = read("linux").dependencies;
const below = (folder) => readdirSync(`${stage}/${folder}`, { recursive: true, withFileTypes: true });
const pages = below("man").filter((entry) => entry.isFile());
const manifest = {
	...product,
	bin: Object.fromEntries(
		below("bin")
			.filter(({ name }) => name !== "package.json")
			.map(({ name }) => [name, `bin/${name}`]),
	),
	man: pages.map(({ name }) => `man/man${name.slice(-1)}/${name}`).sort(),
	dependencies: { koffi },
};
writeFileSync(`${stage}/package.json`, `${JSON.stringify(manifest, null, "\t")}\n`);
