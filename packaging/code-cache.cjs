/**
 * Makes V8's code caches in a folder anew, by the Node that runs this: code-cache.cjs DIRECTORY
 *
 * For a build for another processor. V8 takes a cache that the same version made on another one, and crashes.
 */
const { readFileSync, readdirSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const { setFlagsFromString } = require("node:v8");
const { Script } = require("node:vm");

const [, , directory] = process.argv;
const caches = readdirSync(directory).filter((name) => name.endsWith(".cache"));
if (caches.length === 0) throw new Error(`code-cache: no cache in ${directory}`);
for (const cache of caches) {
	const filename = cache.slice(0, -".cache".length);
	const source = readFileSync(join(directory, filename), "latin1");
	setFlagsFromString("--no-lazy"); // as scripts/build.mjs
	const script = new Script(source, { filename });
	setFlagsFromString("--lazy");
	writeFileSync(join(directory, cache), script.createCachedData());
}
