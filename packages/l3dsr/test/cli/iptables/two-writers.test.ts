/**
 * Two programs change nftables at once: a firewall reloads its whole table in a loop, as firewalld does,
 * beside `iptables-daddr -A` in a loop. `make two-writers` runs the long form: L3DSR_TWO_WRITERS=1000.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { after, before, describe, it, type TestContext } from "node:test";
import { enterNetns, run } from "../../../../../test/support/netns.ts";
import { hostLockPath } from "../../../src/host/lock.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { setRules } from "../../rewrite/set-rules.ts";
import { BundledCommands } from "./bundled.ts";

enterNetns();

/** The number of commands, each its own process, and of quick changes in this process. */
const COMMANDS = Number(process.env["L3DSR_TWO_WRITERS"] ?? 6);
const CHANGES = 10 * COMMANDS;

let commands: BundledCommands;
before(async () => {
	commands = await BundledCommands.build();
});
after(() => {
	commands[Symbol.dispose]();
	rmSync(hostLockPath(), { force: true });
});

/** All of a firewall's rules, replaced in one transaction each time. */
const FIREWALL = `
table inet firewall
delete table inet firewall
table inet firewall {
	set trusted { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.0.0/16 } }
	chain services { ${Array.from({ length: 60 }, (_, index) => `tcp dport ${1000 + index} accept;`).join(" ")} }
	chain input { type filter hook input priority 10; policy accept; ip saddr @trusted jump services; }
	chain forward { type filter hook forward priority 10; policy accept; }
}
`;

interface Reloads extends AsyncDisposable {
	/** Ends the loop and returns the number of reloads. Throws if one of them failed. */
	stop(): Promise<number>;
}

/** Reloads without a pause until it is stopped. */
function reloadFirewall(): Reloads {
	const loop =
		'n=0; while ! read -t 0 line; do printf "%s" "$1" | nft -f - || exit 1; n=$((n+1)); done; echo $n';
	const child = spawn("bash", ["-c", loop, "bash", FIREWALL], { stdio: ["pipe", "pipe", "pipe"] });
	let [stdout, stderr] = ["", ""];
	child.stdout.setEncoding("utf8").on("data", (text: string) => {
		stdout += text;
	});
	child.stderr.setEncoding("utf8").on("data", (text: string) => {
		stderr += text;
	});
	const ended = once(child, "close");
	const stop = async (): Promise<number> => {
		child.stdin.end("stop\n");
		const [status] = await ended;
		assert.equal(status, 0, `a reload failed: ${stderr}`);
		return Number(stdout);
	};
	return { stop, [Symbol.asyncDispose]: async () => void child.kill("SIGKILL") };
}

/** Each with its own address and port, so that none of them share a lookup. */
function spec(index: number): string {
	return `-s 10.${index >> 8}.${index & 255}.1 -p udp -m udp --dport ${1 + index} -j DADDR --set-daddr 192.0.2.1`;
}

function assertFirewallIsWhole(): void {
	const services = run("nft", "list", "chain", "inet", "firewall", "services");
	assert.equal(services.match(/accept/g)?.length, 60);
}

describe("a firewall that reloads without a pause", () => {
	it("loses no rule of iptables-daddr -A and causes no error", async (t: TestContext) => {
		await using firewall = reloadFirewall();
		for (let index = 0; index < COMMANDS; index++) {
			const { exitCode, stderr } = await commands.run("iptables-daddr", [
				"-A",
				"PREROUTING",
				...spec(index).split(" "),
			]);
			assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" });
		}
		const reloads = await firewall.stop();
		t.diagnostic(`${COMMANDS} commands beside ${reloads} reloads`);
		assert.ok(reloads >= COMMANDS, "the firewall was slower than the commands");
		const { rules, findings } = await new NftDatapath().observe();
		assert.deepEqual(findings, []);
		assert.equal(rules.length, COMMANDS);
		assertFirewallIsWhole();
	});

	it("prevents no change that closely follows another one", async (t: TestContext) => {
		run("nft", "flush", "ruleset");
		const datapath = new NftDatapath();
		const place = { family: "ipv4", table: "raw", chain: "PREROUTING" } as const;
		const entries = Array.from({ length: CHANGES }, (_, index) => ({
			rule: parseRuleSpec(spec(index % 200), place),
			ordinal: index,
		}));
		await using firewall = reloadFirewall();
		for (let count = 1; count <= CHANGES; count++) {
			// The last few alone, so that a long run does not become slower and slower.
			const last = entries.slice(Math.max(0, count - 20), count);
			await setRules(datapath, { entries: last });
			const { rules, findings } = await datapath.observe();
			assert.deepEqual(findings, []);
			assert.deepEqual(
				rules.map(({ ordinal }) => ordinal),
				last.map(({ ordinal }) => ordinal),
			);
		}
		const reloads = await firewall.stop();
		t.diagnostic(`${CHANGES} changes beside ${reloads} reloads`);
		assertFirewallIsWhole();
	});
});
