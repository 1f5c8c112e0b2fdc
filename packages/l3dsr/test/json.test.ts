import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonText } from "../src/json.ts";

test("a counter of 64 bits is printed with all its digits, as a number", () => {
	const text = jsonText("watch-left-out", { leftOut: 18446744073709551615n });
	assert.equal(text, '{"schema":"l3dsr.watch-left-out/1","leftOut":18446744073709551615}');
});
