import assert from "node:assert/strict";
import { readFileSync, rmSync } from "node:fs";
import { after, test } from "node:test";
import { enterNetns } from "../../../../../test/support/netns.ts";
import { systemHost } from "../../../src/cli/iptables/host.ts";
import { hostLockPath } from "../../../src/host/lock.ts";
import {
	COMMAND_OPTIONS,
	MODE_OPTIONS,
	RESTORE_OPTIONS,
	SAVE_OPTIONS,
} from "../../../src/syntax/iptables/command-options.ts";
import { HEADER_OPTIONS } from "../../../src/syntax/iptables/header.ts";
import { commandHelp } from "../../../src/syntax/iptables/help.ts";
import { modulesOf } from "../../../src/syntax/iptables/matches.ts";
import type { OptionSpec } from "../../../src/syntax/iptables/option.ts";
import { JUMP_OPTION, MATCH_OPTION } from "../../../src/syntax/iptables/rule-parser.ts";
import { TARGET_OPTIONS } from "../../../src/syntax/iptables/target.ts";
import { runAs } from "./memory-host.ts";

enterNetns();
// The lock of this file's own network namespace, which is deleted here.
after(() => rmSync(hostLockPath(), { force: true }));

const page = readFileSync(
	new URL("../../../../../docs/reference/iptables-daddr.md", import.meta.url),
	"utf8",
);

/** Replaces dates and times. */
function timeless(text: string): string {
	return text.replace(/\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}/g, "NOW");
}

test("every command of the reference page prints the output on the page", async () => {
	const host = systemHost();
	let commands = 0;
	for (const [, block = ""] of page.matchAll(/^```console\n([^`]*)```$/gm)) {
		for (const part of block.split(/^# (?=ip6?tables-daddr)/m).slice(1)) {
			const [line = "", ...shown] = part.split("\n");
			const [program = "", ...argv] = line.split(" ");
			const { stdout, stderr } = await runAs(host, program, ...argv);
			assert.equal(timeless(stdout + stderr), timeless(shown.join("\n")), line);
			commands++;
		}
	}
	assert.ok(commands >= 10, `${commands} commands`);
});

/** Every option that a parser accepts. */
const ALL: readonly OptionSpec[] = [
	...[COMMAND_OPTIONS, MODE_OPTIONS, SAVE_OPTIONS, RESTORE_OPTIONS, HEADER_OPTIONS, TARGET_OPTIONS].flatMap(
		(table): OptionSpec[] => Object.values(table),
	),
	MATCH_OPTION,
	JUMP_OPTION,
	...(["ipv4", "ipv6"] as const).flatMap((family) =>
		modulesOf(family).flatMap(({ name, syntax }) => syntax.options(name)),
	),
];

test("the reference page and -h have every option and module of the tables", () => {
	const help = commandHelp("iptables-daddr", "0", "ipv4") + commandHelp("ip6tables-daddr", "0", "ipv6");
	for (const { long, short } of ALL) {
		assert.ok(page.includes(`--${long[0]}`), `--${long[0]} is not on the page`);
		if (short !== undefined && short !== "0") assert.ok(page.includes(`-${short}`), `-${short}`);
	}
	for (const family of ["ipv4", "ipv6"] as const) {
		for (const { name, syntax } of modulesOf(family)) {
			assert.ok(page.includes(`\`${name}\``), `-m ${name} is not on the page`);
			for (const { long } of syntax.options(name)) assert.ok(help.includes(`--${long[0]}`), `--${long[0]}`);
		}
	}
});
