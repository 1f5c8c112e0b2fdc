/** Compares packaging/prebuilt.sha512, the npm programs in packages, with those that build this checkout. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const listed = read("packaging/prebuilt.sha512")
	.trim()
	.split("\n")
	.map((line) => {
		const [, sum, name, cpu, version] =
			/^([0-9a-f]{128}) {2}(.+)-linux-(x64|arm64)-([\d.]+)\.tgz$/.exec(line) ?? [];
		assert.ok(sum && name && cpu && version, line);
		return { sum, name, cpu, version };
	});

describe("packaging/prebuilt.sha512", () => {
	it("has runtime, koffi and esbuild for both processors, in one version each", () => {
		const names = listed.map(({ name, cpu }) => `${name} ${cpu}`);
		assert.deepEqual(names.sort(), [
			"esbuild arm64",
			"esbuild x64",
			"koromix-koffi arm64",
			"koromix-koffi x64",
			"node arm64",
			"node x64",
		]);
		assert.equal(new Set(listed.map(({ name, version }) => `${name} ${version}`)).size, 3);
	});

	it("has the same Node, koffi and esbuild as package-lock.json, to the byte", () => {
		const { packages } = JSON.parse(read("package-lock.json"));
		for (const { sum, name, cpu, version } of listed) {
			const prefix = { node: "node-", esbuild: "@esbuild/" }[name] ?? "@koromix/koffi-";
			const locked = packages[`node_modules/${prefix}linux-${cpu}`];
			assert.equal(version, locked.version, name);
			const [, base64] = /^sha512-(.+)$/.exec(locked.integrity) ?? [];
			assert.equal(sum, Buffer.from(base64 ?? "", "base64").toString("hex"), `${name} ${cpu}`);
		}
	});

	it("has a runtime of the Node version that the package requires", () => {
		const { engines } = JSON.parse(read("packages/l3dsr/package.json"));
		for (const { name, version } of listed) {
			if (name === "node") assert.ok(Number(version.split(".")[0]) >= Number(engines.node.slice(2)), version);
		}
	});
});
