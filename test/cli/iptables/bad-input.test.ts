import assert from "node:assert/strict";
import { test } from "node:test";
import { assertGolden } from "../../golden.ts";
import { BAD_INPUT } from "./bad-input.ts";
import { type Kernel, memoryHost, runAs } from "./memory-host.ts";

test("every bad command line and file is refused with its own message, and no rule is touched", async () => {
	const kernel: Kernel = { rules: [], applied: 0 };
	const rule = ["-A", "PREROUTING", "-m", "dscp", "--dscp", "7", "-j", "DADDR", "--set-daddr", "192.0.2.7"];
	assert.equal((await runAs(memoryHost(kernel), "iptables-daddr", ...rule)).exitCode, 0);
	const before = { ...kernel };
	let golden = "";
	for (const { program, argv, file } of BAD_INPUT) {
		const host = memoryHost(kernel, file === undefined ? {} : { readFile: () => file });
		const { exitCode, stdout, stderr } = await runAs(host, program, ...argv);
		const shown = file === undefined ? "" : file.replace(/^/gm, "| ").replace(/\| $/, "");
		golden += `$ ${[program, ...argv].join(" ")}\n${shown}${stderr}exit ${exitCode}\n\n`;
		assert.equal(stdout, "");
		assert.ok(exitCode === 1 || exitCode === 2, `${program} ${argv.join(" ")}: exit ${exitCode}`);
		assert.doesNotMatch(stderr, /INTERNAL|undefined/);
		assert.deepEqual(kernel, before, `${program} ${argv.join(" ")} changed the rules`);
	}
	assertGolden("iptables-daddr/bad-input.txt", golden);
});
