import assert from "node:assert/strict";
import { test } from "node:test";
import { L3dsrError } from "../../../src/errors.ts";
import { parseTableSetting } from "../../../src/syntax/config/table-setting.ts";

test("reads the table, whatever else the file says", () => {
	assert.equal(parseTableSetting("table: mangle\n", "f"), "mangle");
	assert.equal(parseTableSetting("# x\nservices:\n  - vip: nonsense\ntable: 'raw'\n", "f"), "raw");
});

test("is raw where the file says nothing", () => {
	assert.equal(parseTableSetting("", "f"), "raw");
	assert.equal(parseTableSetting("datapath: nft\n", "f"), "raw");
});

for (const [text, message, column] of [
	["table: mangel\n", '"mangel" is not a table for services, expected raw or mangle', 8],
	["table: toString\n", '"toString" is not a table for services, expected raw or mangle', 8],
	["table: [raw]\n", "this is not a table for services, expected raw or mangle", 8],
	["table:\n", "this is not a table for services, expected raw or mangle", 7],
] as const) {
	test(`refuses ${JSON.stringify(text)} and says where`, () => {
		assert.throws(
			() => parseTableSetting(text, "f.yaml"),
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

test("a file that is no YAML is refused, not read as if it said nothing", () => {
	assert.throws(() => parseTableSetting("table: [mangle\n", "f"), { code: "CONFIG_SYNTAX" });
});
