/** The commands of the document that came with the kernel module and its plugin, with one word changed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { test } from "node:test";
import { commandPath } from "../../../../test/support/commands.ts";
import { enterNetns, run } from "../../../../test/support/netns.ts";

enterNetns();

const COMMANDS = [
	"ifconfig lo:1 72.30.38.140 netmask 255.255.255.255",
	"ifconfig lo:2 98.139.183.24 netmask 255.255.255.255",
	"iptables -t mangle -A INPUT -m dscp --dscp 1 -j DADDR --set-daddr=72.30.38.140",
	"iptables -t mangle -A INPUT -m dscp --dscp 2 -j DADDR --set-daddr=98.139.183.24",
	"ifconfig lo:3 add fc00:1000:0:6::10/128",
	"ifconfig lo:4 add fc00:1000:0:6::21/128",
	"ip6tables -t mangle -A INPUT -m dscp --dscp 10 -j DADDR --set-daddr=fc00:1000:0:6::10",
	"ip6tables -t mangle -A INPUT -m dscp --dscp 11 -j DADDR --set-daddr=fc00:1000:0:6::21",
];

test("the commands of the module's own document work with one word changed", () => {
	const PATH = `${dirname(commandPath("l3dsr"))}:${process.env["PATH"]}`;
	const type = (line: string): string => {
		const { status, stdout } = spawnSync("sh", ["-c", `exec 2>&1\n${line}`], {
			encoding: "utf8",
			env: { ...process.env, PATH },
		});
		assert.equal(status, 0, `${line}\n${stdout}`);
		return stdout;
	};
	for (const command of COMMANDS) {
		assert.equal(type(command.replace(/^(ip6?tables) /, "$1-daddr ")), "", command);
	}

	const addresses = run("ip", "-o", "address", "show", "dev", "lo", "scope", "global");
	assert.match(addresses, / inet 72\.30\.38\.140\/32 scope global lo:1\\/);
	assert.match(addresses, / inet 98\.139\.183\.24\/32 scope global lo:2\\/);
	assert.match(addresses, / inet6 fc00:1000:0:6::10\/128 /);
	assert.match(addresses, / inet6 fc00:1000:0:6::21\/128 /);
	assert.deepEqual(type("iptables-daddr -t mangle -S INPUT").split("\n"), [
		"-P INPUT ACCEPT",
		"-A INPUT -m dscp --dscp 0x01 -j DADDR --set-daddr 72.30.38.140",
		"-A INPUT -m dscp --dscp 0x02 -j DADDR --set-daddr 98.139.183.24",
		"",
	]);
	assert.deepEqual(type("ip6tables-daddr -t mangle -S INPUT").split("\n"), [
		"-P INPUT ACCEPT",
		"-A INPUT -m dscp --dscp 0x0a -j DADDR --set-daddr fc00:1000:0:6::10",
		"-A INPUT -m dscp --dscp 0x0b -j DADDR --set-daddr fc00:1000:0:6::21",
		"",
	]);
});
