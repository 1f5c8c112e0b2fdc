import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { enterNetns, Netns, run, waitFor } from "../../../../test/support/netns.ts";
import { runningPrograms, suspectsFor } from "../../src/host/suspects.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-suspects-"));
after(() => rmSync(folder, { recursive: true }));

/** A process with this name that does nothing. */
function impostor(name: string): string {
	const path = join(folder, name);
	copyFileSync(realpathSync(run("sh", "-c", "command -v cat").trim()), path);
	return path;
}

async function named(child: ChildProcess, name: string): Promise<void> {
	await waitFor(name, () => readFileSync(`/proc/${child.pid}/comm`, "utf8").trim() === name);
}

test("a running program known to remove addresses is named first, but not if it runs elsewhere", async () => {
	using other = new Netns("other");
	const here = spawn(impostor("keepalived"), { stdio: ["pipe", "ignore", "inherit"] });
	const there = other.spawn(impostor("ldirectord"));
	try {
		await named(here, "keepalived");
		await named(there, "ldirectord");
		const running = runningPrograms();
		assert(running.has("keepalived"));
		assert(!running.has("ldirectord"));
		const [first, second, ...more] = suspectsFor(new Set(["addresses"]), running);
		assert.match(first ?? "", /^keepalived is running; it removes the addresses .* when it is not master$/);
		assert.match(second ?? "", /^a manual command or a script: ip address/);
		assert.deepEqual(more, []);
		assert.deepEqual(
			suspectsFor(new Set(["everything-of-nft"]), running).map((text) => text.slice(0, 17)),
			["nft flush ruleset"],
			"it does not do that",
		);
	} finally {
		here.kill();
	}
});
