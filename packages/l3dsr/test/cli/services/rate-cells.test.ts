import assert from "node:assert/strict";
import { test } from "node:test";
import { scaled } from "../../../../web/src/state/format.ts";
import { rateCells } from "../../../src/cli/services/rate-cells.ts";

test("a rate has three digits and a unit, and bits are eight times the bytes", () => {
	assert.deepEqual(rateCells({ packets: 12_345, bytes: 125 }), ["12.3k", "1.00k"]);
	assert.deepEqual(rateCells({ packets: 999.4, bytes: 125e12 }), ["999", "1.00P"]);
	assert.deepEqual(rateCells(undefined), ["--", "--"]);
});

test("l3dsr top and the agent's page print a rate in the same way", () => {
	for (let packets = 0.4; packets < 1e18; packets *= 1.37)
		assert.equal(rateCells({ packets, bytes: 0 })[0], scaled(packets));
});
