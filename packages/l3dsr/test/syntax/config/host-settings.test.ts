import assert from "node:assert/strict";
import { test } from "node:test";
import { L3dsrError } from "../../../src/errors.ts";
import { parseHostSettings } from "../../../src/syntax/config/host-settings.ts";

test("reads the settings, whatever else the file contains", () => {
	assert.deepEqual(parseHostSettings("table: mangle\n", "f"), { table: "mangle", given: {} });
	const text =
		"# x\nservices:\n  - vip: nonsense\ntable: 'raw'\ndatapath: nft\nhook: xdp\nopen-checksums: accept\n";
	assert.deepEqual(parseHostSettings(text, "f"), {
		table: "raw",
		given: { datapath: "nft", hook: "xdp", openChecksums: "accept" },
	});
	assert.deepEqual(parseHostSettings('"data\\x70ath": nft\n', "f").given, { datapath: "nft" });
});

test("the table is raw, and nothing else is set, if the file has no settings", () => {
	assert.deepEqual(parseHostSettings("", "f"), { table: "raw", given: {} });
	assert.deepEqual(parseHostSettings("services: []\n", "f"), { table: "raw", given: {} });
});

for (const [text, message, column] of [
	["table: mangel\n", '"mangel" is not a table for services, expected raw or mangle', 8],
	["table: toString\n", '"toString" is not a table for services, expected raw or mangle', 8],
	["table: [raw]\n", "this is not a table for services, expected raw or mangle", 8],
	["table:\n", "this is not a table for services, expected raw or mangle", 7],
	["datapath: bpf\n", '"bpf" is not a datapath, expected auto, ebpf or nft', 11],
	["hook: [tc]\n", "this is not a hook, expected auto, tc, tcx, clsact, xdp or xdp-generic", 7],
] as const) {
	test(`refuses ${JSON.stringify(text)} and names its place`, () => {
		assert.throws(
			() => parseHostSettings(text, "f.yaml"),
			(error) => {
				assert(error instanceof L3dsrError);
				assert.equal(error.code, "CONFIG_BAD_VALUE");
				assert.equal(error.message, message);
				assert.equal(error.diagnostics[0].position?.source, "f.yaml");
				assert.equal(error.diagnostics[0].position?.column, column);
				return true;
			},
		);
	});
}

test("a file that is not YAML is refused, not treated as empty", () => {
	assert.throws(() => parseHostSettings("table: [mangle\n", "f"), { code: "CONFIG_SYNTAX" });
});
