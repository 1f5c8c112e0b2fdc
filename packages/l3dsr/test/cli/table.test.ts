import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { styleFor } from "../../src/cli/style.ts";
import { formatTable } from "../../src/cli/table.ts";

describe("formatTable", () => {
	it("makes columns as wide as their widest entry, aligns numbers right, and trims trailing blanks", () => {
		const table = formatTable(
			["name", "packets", "note"],
			[
				["a", "5", "x"],
				["longer", "12345678", ""],
			],
			{ indent: " ", right: [1] },
		);
		assert.equal(table, " name     packets  note\n a              5  x\n longer  12345678\n");
	});

	it("prints only the header if there are no rows", () => {
		assert.equal(formatTable(["a", "b"], [], { header: (line) => `<${line}>` }), "<a  b>\n");
	});
});

describe("styleFor", () => {
	it("emphasises only on a terminal, and not if NO_COLOR forbids it", () => {
		assert.equal(styleFor({ isTTY: true }, {}).bold("x"), "\u001b[1mx\u001b[22m");
		for (const plain of [
			styleFor({}, {}),
			styleFor({ isTTY: true }, { NO_COLOR: "1" }),
			styleFor({ isTTY: true }, { TERM: "dumb" }),
		]) {
			assert.equal(plain.bad(plain.bold("x")), "x");
		}
	});
});
