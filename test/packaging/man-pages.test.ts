import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { body, escapeRoff, inline } from "../../scripts/man/roff.ts";

describe("Markdown to man(7)", () => {
	it("keeps text from being read as requests", () => {
		assert.equal(escapeRoff("a\\b-c …"), "a\\eb\\-c \\[u2026]");
		assert.equal(body(["'quoted' first"]), "\\&'quoted' first");
	});

	it("names pages of the reference as pages", () => {
		assert.equal(inline("see [the tool](dsrctl.md)"), "see \\fBdsrctl\\fR(8)");
		assert.equal(inline("see [probe](probe.md)"), "see \\fBl3dsr\\-probe\\fR(8)");
		assert.equal(inline("see [errors](errors.md)"), "see errors");
	});

	it("makes a list of a table of two columns, and a table of more", () => {
		assert.equal(body(["| a | b |", "|---|---|", "| `-x` | text |"]), ".TP\n\\fB\\-x\\fR\ntext");
		assert.match(body(["| a | b | c |", "|---|---|---|", "| 1 | 2 | 3 |"]), /^\.TS\n[\s\S]*\.TE$/);
	});

	it("keeps code as it stands, without trailing blanks", () => {
		assert.equal(body(["## H", "```", ".x  ", "```"]), ".SH H\n.RS 4\n.nf\n\\&.x\n.fi\n.RE");
	});
});
