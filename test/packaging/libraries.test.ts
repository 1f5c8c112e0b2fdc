/** The libraries as npm packs them, installed into an empty folder, where their examples run. */
import assert from "node:assert/strict";
import {
	copyFileSync,
	existsSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { enterNetns, run } from "../support/netns.ts";

enterNetns();

const PACKAGES = fileURLToPath(new URL("../../packages/", import.meta.url));
/** Libraries with examples, and their dependencies among the others. */
const LIBRARIES = ["linux", "packet", "bpf", "nftables"].filter((name) =>
	existsSync(join(PACKAGES, name, "examples")),
);
const folder = mkdtempSync(join(tmpdir(), "l3dsr-libraries-"));

before(() => {
	const packed = LIBRARIES.map((name) => pack(name));
	writeFileSync(join(folder, "package.json"), '{ "type": "module", "private": true }');
	const install = "npm install --silent --no-audit --no-fund --prefer-offline";
	run("sh", "-euc", `cd '${folder}'; ${install} ${packed.map((file) => `'./${file}'`).join(" ")}`);
});
after(() => rmSync(folder, { recursive: true }));

function pack(name: string): string {
	const command = `npm pack --silent --workspace 'packages/${name}' --pack-destination '${folder}'`;
	return (
		run("sh", "-euc", `cd '${join(PACKAGES, "..")}'; ${command}`)
			.trim()
			.split("\n")
			.at(-1) ?? ""
	);
}

for (const library of LIBRARIES) {
	const examples = join(PACKAGES, library, "examples");
	// The output of an example is stored beside it. An example without it is run by a test of its package,
	// which can end one that watches (packages/nftables/test/packed.test.ts).
	const kept = (name: string) => existsSync(join(examples, name.replace(/\.ts$/, ".txt")));
	for (const file of readdirSync(examples).filter((name) => name.endsWith(".ts") && kept(name))) {
		test(`${library}'s example ${file} runs on the package that npm installs, and prints the stored output`, () => {
			// Node strips types everywhere except below node_modules.
			copyFileSync(join(folder, "node_modules/@l3dsr", library, "examples", file), join(folder, file));
			const printed = run("sh", "-euc", `cd '${folder}'; '${process.execPath}' --no-warnings ${file}`);
			assert.equal(printed, readFileSync(join(examples, file.replace(/\.ts$/, ".txt")), "utf8"));
		});
	}
}
