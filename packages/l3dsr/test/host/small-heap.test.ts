import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { FROM_SOURCE } from "../../../../test/support/node.ts";

const MB = 1 << 20;
const MODULE = new URL("../../src/host/small-heap.ts", import.meta.url).href;

/** How large the young generation of a process is in which a few megabytes are alive, others every moment; bytes. */
async function youngAfterWork(isSmall: boolean): Promise<number> {
	const script = `
		const { getHeapSpaceStatistics } = await import("node:v8");
		if (${isSmall}) (await import(${JSON.stringify(MODULE)})).keepHeapSmall();
		const alive = [];
		for (let round = 0; round < 1000; round++) {
			alive[round % 30] = Array.from({ length: 1000 }, (_, index) => ({ index, list: [index] }));
			await new Promise((resolve) => setImmediate(resolve));
		}
		console.log(getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space").space_size);`;
	const { stdout } = await promisify(execFile)(process.execPath, [
		...FROM_SOURCE,
		"--input-type=module",
		"--eval",
		script,
	]);
	return Number(stdout);
}

test("a process that keeps its heap small has a young generation that stops to grow, where V8 by itself lets it grow", async () => {
	const [small, usual] = await Promise.all([youngAfterWork(true), youngAfterWork(false)]);
	assert.ok(small <= 16 * MB, `${small / MB} MB`);
	assert.ok(usual >= 32 * MB, `${usual / MB} MB: V8 limits it by itself now`);
});
