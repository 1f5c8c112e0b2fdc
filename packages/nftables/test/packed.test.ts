/**
 * Installs the package as npm would publish it into an empty folder, and runs its examples there without the
 * checkout.
 */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { enterNetns, run, waitFor } from "../../../test/support/netns.ts";

enterNetns();

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "nftables-packed-"));
after(() => rmSync(folder, { recursive: true }));

before(() => {
	const scope = join(folder, "node_modules", "@l3dsr");
	mkdirSync(scope, { recursive: true });
	for (const name of ["linux", "nftables"]) {
		const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], {
			cwd: join(ROOT, "packages", name),
			encoding: "utf8",
		});
		mkdirSync(join(scope, name));
		run("tar", "-xzf", join(folder, packed.trim()), "-C", join(scope, name), "--strip-components=1");
	}
	// The dependencies from the registry.
	for (const name of ["koffi", "@koromix"]) {
		symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name));
	}
	cpSync(join(scope, "nftables", "examples"), join(folder, "examples"), { recursive: true });
	writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
});

test("block-list.ts creates its table from a list of networks, and replaces it with that of another list", () => {
	const blockList = (...networks: readonly string[]): string =>
		execFileSync(process.execPath, [join(folder, "examples/block-list.ts"), ...networks], {
			encoding: "utf8",
		});
	const printed = blockList("192.0.2.0/24", "198.51.100.7/32");
	assert.match(printed, /elements = \{ 192\.0\.2\.0-192\.0\.2\.255, 198\.51\.100\.7 \}/);
	assert.match(printed, /ip saddr @blocked counter packets 0 bytes 0 drop comment "on the list"/);
	const listed = run("nft", "list", "table", "ip", "blocklist");
	assert.match(listed, /192\.0\.2\.0\/24, 198\.51\.100\.7/);
	assert.match(blockList("10.0.0.0/8"), /elements = \{ 10\.0\.0\.0-10\.255\.255\.255 \}/);
});

test("watch-changes.ts prints a change and the program that made it", async () => {
	const child = spawn(process.execPath, [join(folder, "examples/watch-changes.ts")], {
		stdio: ["ignore", "pipe", "inherit"],
	});
	let printed = "";
	child.stdout.setEncoding("utf8").on("data", (text: string) => {
		printed += text;
	});
	try {
		await waitFor("a watcher", () => printed.includes("watching"));
		run("nft", "add table ip t; add chain ip t c; add rule ip t c ip dscp 5 accept");
		await waitFor("the end of the change", () => printed.includes("by nft"));
		assert.equal(
			printed,
			"watching\nadded table ip t\nadded chain ip t c\nadded rule ip t c ip dscp 5 accept\nby nft\n",
		);
	} finally {
		child.kill("SIGINT");
	}
});

test("the package contains its types", () => {
	const program = join(folder, "typed.ts");
	writeFileSync(
		program,
		`import { Nftables, type Snapshot } from "@l3dsr/nftables";
		using nftables = new Nftables();
		const snapshot: Snapshot = nftables.read();
		// @ts-expect-error: a generation is a number
		const wrong: string = snapshot.generation;
		console.log(wrong);\n`,
	);
	const options = [
		"--noEmit",
		"--strict",
		"--module",
		"nodenext",
		"--target",
		"es2024",
		"--types",
		"node",
		"--typeRoots",
	];
	const types = join(ROOT, "node_modules/@types");
	execFileSync(
		join(ROOT, "node_modules/.bin/tsc"),
		[...options, types, "--lib", "es2024,esnext.disposable", program],
		{
			cwd: folder,
			stdio: "inherit",
		},
	);
});
