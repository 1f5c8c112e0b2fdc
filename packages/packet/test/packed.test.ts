/**
 * Installs the package as npm would publish it into an empty folder, and runs the example and every block of
 * the README there.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { encodePcap, LINK_TYPE, parseAddress, udpPacket } from "../src/index.ts";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "packet-packed-"));
after(() => rmSync(folder, { recursive: true }));

before(() => {
	const home = join(folder, "node_modules", "@l3dsr", "packet");
	mkdirSync(home, { recursive: true });
	const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], {
		cwd: PACKAGE,
		encoding: "utf8",
	});
	execFileSync("tar", ["-xzf", join(folder, packed.trim()), "-C", home, "--strip-components=1"]);
	cpSync(join(home, "examples"), join(folder, "examples"), { recursive: true });
	writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
});

function node(...args: readonly string[]): string {
	return execFileSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
}

const README = readFileSync(join(PACKAGE, "README.md"), "utf8");
const EXAMPLE =
	/^## (?<title>.*)$(?:(?!^## )[\s\S])*?^```ts\n(?<code>[\s\S]*?)^```\n```\n(?<output>[\s\S]*?)^```$/gm;
const examples = [...README.matchAll(EXAMPLE)].map(({ groups }) => groups ?? {});

test("the README has examples", () => {
	assert.equal(examples.length, README.match(/^```ts$/gm)?.length);
	assert.ok(examples.length >= 3);
});

for (const [n, { title = "", code = "", output }] of examples.entries()) {
	test(`the README's example prints what it says: ${title}`, () => {
		writeFileSync(join(folder, `example-${n}.ts`), code);
		assert.equal(node(`example-${n}.ts`), output);
	});
}

test("summarize-capture.ts counts the packets of a capture by DSCP", () => {
	const [source, destination] = ["198.51.100.7", "192.0.2.10"].map((text) => parseAddress(text));
	assert(source !== undefined && destination !== undefined);
	const packets = [0x1c, 0x1d, 0].map((tos) => ({
		timestampNs: 0n,
		bytes: udpPacket(
			{ source, destination, tos, ttl: 64 },
			{ sourcePort: 1, destinationPort: 2, data: new Uint8Array(3) },
		),
	}));
	const captured = packets.map((one) => ({ ...one, lengthBytes: one.bytes.length }));
	writeFileSync(join(folder, "some.pcap"), encodePcap(captured, LINK_TYPE.raw));
	assert.equal(
		node("examples/summarize-capture.ts", "some.pcap"),
		"1 DSCP 0 (TOS 0x00)\n2 DSCP 7 (TOS 0x1c)\n",
	);
});
