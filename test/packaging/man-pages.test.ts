import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { body, escapeRoff, inline } from "../../scripts/man/roff.ts";
import { inStandardOrder } from "../../scripts/man/sections.ts";

describe("Markdown to man(7)", () => {
	it("escapes text that would be read as requests", () => {
		assert.equal(escapeRoff("1 → 2"), "1 \\[u2192] 2");
		assert.equal(escapeRoff("a\\b-c …"), "a\\eb\\-c ...");
		assert.equal(body(["'quoted' first"]), "\\&'quoted' first");
	});

	it("names pages of the reference as pages", () => {
		assert.equal(inline("see [dsrctl](dsrctl.md)"), "see \\fBdsrctl\\fR(8)");
		assert.equal(inline("see [probe](probe.md)"), "see \\fBl3dsr\\-probe\\fR(8)");
		assert.equal(inline("see [errors](errors.md)"), "see \\fBl3dsr\\-errors\\fR(7)");
	});

	it("keeps the text of a link that is more than the name of its page", () => {
		const page = "\\fBl3dsr.yaml\\fR(5)";
		assert.equal(inline("on a [director](l3dsr.yaml.md#director), up"), `on a director (${page}), up`);
		assert.equal(inline("([l3dsr.yaml](l3dsr.yaml.md#agent))"), `(${page})`);
		assert.equal(inline("[l3dsr probe](probe.md)"), "\\fBl3dsr\\-probe\\fR(8)");
	});

	it("sets emphasis in italics", () => {
		assert.equal(inline("a *word* and `*.conf`, 2 * 3 * 4"), "a \\fIword\\fR and \\fB*.conf\\fR, 2 * 3 * 4");
	});

	it("shows where the package installs the other documents", () => {
		const docs = "/usr/share/doc/l3dsr/docs";
		assert.equal(inline("[words](../glossary.md)"), `words (\\fI${docs}/glossary.md\\fR)`);
		assert.equal(inline("[api.md](api.md#paths)"), `\\fI${docs}/reference/api.md\\fR`);
		assert.equal(inline("[above](#files)"), "above");
	});

	it("converts a table of two columns to a list, and others to a table", () => {
		assert.equal(body(["| a | b |", "|---|---|", "| `-x` | text |"]), ".TP\n\\fB\\-x\\fR\ntext");
		assert.match(body(["| a | b | c |", "|---|---|---|", "| 1 | 2 | 3 |"]), /^\.TS\n[\s\S]*\.TE$/);
	});

	it("writes headings in capitals, and keeps the letters of a command line", () => {
		assert.equal(body(["## See also"]), ".SH SEE ALSO");
		assert.equal(body(["## l3dsr up [-n] [-c PATH]"]), ".SH l3dsr up [\\-n] [\\-c PATH]");
	});

	it("keeps code unchanged, without trailing blanks", () => {
		assert.equal(body(["## H", "```", ".x  ", "```"]), ".SH H\n.RS 4\n.nf\n\\&.x\n.fi\n.RE");
	});
});

describe("the standard sections of a page", () => {
	it("are last and in the order of man-pages(7); a document's own sections replace the defaults", () => {
		const { own, standard } = inStandardOrder(
			["## Files", "own", "## Use", "text", "```", "## no heading", "```", "## Exit codes", "0 or 1"],
			{ Files: ["default"], "See also": ["others"] },
		);
		assert.deepEqual(own, ["## Use", "text", "```", "## no heading", "```"]);
		assert.deepEqual(
			standard.filter((line) => line !== ""),
			["## Exit status", "0 or 1", "## Files", "own", "## See also", "others"],
		);
	});
});
