import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { bashCompletion } from "../../scripts/completion/bash.ts";
import { completedCommands } from "../../scripts/completion/commands.ts";

const commands = await completedCommands();

/** The words that bash offers for the last of `words`. */
function offered(...words: readonly string[]): readonly string[] {
	return offeredAfter("", ...words);
}

/** The same in a shell that has run `before`. */
function offeredAfter(before: string, ...words: readonly string[]): readonly string[] {
	const command = commands.find(({ name }) => name === words[0]);
	assert.ok(command !== undefined);
	const quoted = words.map((word) => `'${word}'`).join(" ");
	const script = `${before}
${bashCompletion(command)}
COMP_WORDS=(${quoted}); COMP_CWORD=${words.length - 1}
$(complete -p ${command.name} | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "\${COMPREPLY[@]}"`;
	const { status, stdout, stderr } = spawnSync("bash", ["--norc", "-c", script], { encoding: "utf8" });
	assert.equal(status, 0, stderr);
	return stdout.split("\n").filter((word) => word !== "");
}

describe("bash completion", () => {
	it("knows the eight commands", () => {
		assert.equal(commands.length, 8);
	});

	it("offers l3dsr's subcommands, and the options of the typed one", () => {
		assert.ok(offered("l3dsr", "").includes("status"));
		assert.ok(!offered("l3dsr", "").includes("lab-worker"));
		assert.deepEqual(offered("l3dsr", "up", "--dry"), ["--dry-run"]);
	});

	it("offers the formats of export and the labs that lab --down can delete", () => {
		assert.deepEqual(offered("l3dsr", "export", "nets"), ["netscaler"]);
		assert.ok(offered("l3dsr", "import", "").every((word) => !word.startsWith("-")));
		const names = ["l3lab-completion-client", "l3lab-completion-director"];
		for (const name of names) spawnSync("ip", ["netns", "add", name]);
		try {
			assert.deepEqual(offered("l3dsr", "lab", "--down", "l3lab-comp"), ["l3lab-completion"]);
		} finally {
			for (const name of names) spawnSync("ip", ["netns", "delete", name]);
		}
	});

	it("offers the fleet's real servers to drain, disable and enable", () => {
		const names = "l3dsr() { [ $* = real-names ] && printf '%s\\n' front/a1 front/a2 back/b1; }";
		for (const command of ["drain", "disable", "enable"])
			assert.deepEqual(offeredAfter(names, "l3dsr", command, "fro"), ["front/a1", "front/a2"]);
		assert.deepEqual(offeredAfter("l3dsr() { return 2; }", "l3dsr", "drain", ""), []);
	});

	it("offers dsrctl's actions", () => {
		assert.deepEqual(offered("dsrctl", "-v", "sta"), ["start", "status"]);
	});

	it("offers the grammar's tables, chains, modules and options", () => {
		assert.deepEqual(offered("iptables-daddr", "-t", ""), ["raw", "mangle"]);
		assert.ok(offered("iptables-daddr", "-A", "PRE").includes("PREROUTING"));
		assert.deepEqual(offered("ip6tables-daddr", "-m", "h"), ["hl"]);
		assert.deepEqual(offered("iptables-daddr", "--set-d"), ["--set-daddr", "--set-dport"]);
	});
});
