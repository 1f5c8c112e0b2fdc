/** The commands as they are built: compiled ahead, and compiled anew where that is of no use. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Script } from "node:vm";
import { commandPath, ROOT } from "../commands.ts";

let copy: string;

before(() => {
	commandPath("iptables-daddr");
	copy = mkdtempSync(join(tmpdir(), "l3dsr-build-"));
	cpSync(join(ROOT, "dist"), join(copy, "dist"), { recursive: true });
	cpSync(join(ROOT, "bin"), join(copy, "bin"), { recursive: true });
	symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
});
after(() => rmSync(copy, { recursive: true }));

const dist = () => join(copy, "dist");
const compiled = () => readdirSync(dist()).filter((name) => name.endsWith(".js"));

function run(name: string, ...args: readonly string[]): string {
	const { status, stdout, stderr } = spawnSync(join(copy, "bin", name), args, { encoding: "utf8" });
	assert.equal(stderr, "");
	assert.equal(status, 0);
	return stdout;
}

test("each command is compiled ahead, for this Node", () => {
	assert.deepEqual(
		compiled().map((name) => name.replace(/\.[0-9a-f]{16}\.js$/, "")),
		["dsrctl", "iptables-daddr", "l3dsr"],
	);
	for (const name of compiled()) {
		const source = readFileSync(join(dist(), name), "latin1");
		const cachedData = readFileSync(join(dist(), `${name}.cache`));
		assert.equal(new Script(source, { filename: name, cachedData }).cachedDataRejected, false, name);
	}
});

test("a cache that V8 does not take, and none at all, do no harm", () => {
	const [name] = compiled().filter((one) => one.startsWith("iptables-daddr."));
	assert.ok(name !== undefined);
	const version = run("iptables-daddr", "--version");
	assert.match(version, /^iptables-daddr v/);
	const cache = join(dist(), `${name}.cache`);
	const foreign = readFileSync(cache);
	foreign.fill(0, 4, 12); // the hashes of V8's version and of the source
	writeFileSync(cache, foreign);
	assert.equal(run("iptables-daddr", "--version"), version);
	rmSync(cache);
	assert.equal(run("iptables-daddr", "--version"), version);
	assert.equal(run("ip6tables-daddr", "--version"), version.replace("iptables", "ip6tables"));
});
