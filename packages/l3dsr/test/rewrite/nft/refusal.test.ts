import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { type Command, jump, Nftables, NftablesError, type TransactOptions } from "@l3dsr/nftables";
import { enterNetns, run } from "../../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../../test/support/node.ts";
import { diagnosticsOf, exitCodeOf } from "../../../src/cli/error-table.ts";
import type { Diagnostic } from "../../../src/errors.ts";
import type { RuleEntry } from "../../../src/model/ruleset.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { setRules } from "../set-rules.ts";

enterNetns();

const PLACE = { family: "ipv4", table: "raw", chain: "PREROUTING" } as const;
const entry: RuleEntry = {
	rule: parseRuleSpec("-m dscp --dscp 1 -j DADDR --set-daddr 10.0.0.1", PLACE),
	ordinal: 1024,
};

/** A kernel with another change before each transaction. */
class DisturbedNftables extends Nftables {
	readonly #disturb: (commands: readonly Command[]) => readonly Command[];

	constructor(disturb: (commands: readonly Command[]) => readonly Command[]) {
		super();
		this.#disturb = disturb;
	}

	override transact(commands: readonly Command[], options?: TransactOptions): void {
		super.transact(this.#disturb(commands), options);
	}
}

function disturbed(disturb: (commands: readonly Command[]) => readonly Command[]): NftDatapath {
	return new NftDatapath(() => new DisturbedNftables(disturb));
}

async function refused(action: Promise<unknown>): Promise<Diagnostic> {
	try {
		await action;
	} catch (error) {
		return diagnosticsOf(error)[0];
	}
	return assert.fail("nothing was refused");
}

async function apply(entries: readonly RuleEntry[], datapath = new NftDatapath()): Promise<void> {
	await setRules(datapath, { entries });
}

/** A rule that shares nothing with {@link entry}, so it changes the rules around the lookup. */
const LINEAR: RuleEntry = {
	rule: parseRuleSpec("-s 10.0.0.7 -j DADDR --set-daddr 10.0.0.77", PLACE),
	ordinal: 5,
};

describe("obstacles to the nft datapath", () => {
	it("no root: reported", () => {
		const script = `
			import { NftDatapath } from ${JSON.stringify(new URL("../../../src/rewrite/nft/kernel/nft.ts", import.meta.url).href)};
			import { diagnosticsOf } from ${JSON.stringify(new URL("../../../src/cli/error-table.ts", import.meta.url).href)};
			try { await new NftDatapath().observe(); }
			catch (error) { console.log(JSON.stringify(diagnosticsOf(error)[0])); }`;
		const drop = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
		const node = [process.execPath, ...FROM_SOURCE, "--input-type=module", "--eval", script];
		const { stdout, stderr } = spawnSync("setpriv", [...drop, ...node], { encoding: "utf8" });
		const { code, message, hint } = JSON.parse(stdout || assert.fail(stderr));
		assert.equal(code, "KERNEL_PERMISSION");
		assert.match(message, /^ask nf_tables for its generation: EPERM/);
		assert.equal(hint, "run it as root");
	});

	it("a kernel without nf_tables: reported with exit code 3", () => {
		const error = new NftablesError("UNSUPPORTED", "read: the running kernel has no nf_tables");
		assert.equal(diagnosticsOf(error)[0].code, "KERNEL_FEATURE");
		assert.equal(exitCodeOf(error), 3);
	});

	it("a command that the kernel refuses: its rule is named, and the old rules are in force", async () => {
		await apply([entry]);
		const before = run("nft", "-a", "list", "ruleset");
		const spoiled = disturbed((commands) =>
			commands.map((command): Command => {
				if (command.do !== "add rule" || command.rule.comment?.includes("10.0.0.77") !== true) return command;
				const expressions = [...command.rule.expressions, jump("nowhere")];
				return { ...command, rule: { ...command.rule, expressions } };
			}),
		);
		const error = await refused(apply([{ ...entry, ordinal: 4 }, LINEAR], spoiled));
		assert.equal(error.code, "KERNEL_SYSCALL");
		assert.match(
			error.message,
			/^add a rule to chain ip l3dsr raw_PREROUTING \("5 -s 10\.0\.0\.7\/32 -j DADDR --set-daddr 10\.0\.0\.77"\): ENOENT/,
		);
		assert.equal(run("nft", "-a", "list", "ruleset"), before);
		await apply([]);
	});

	it("new maps are deleted again if their rules fail", async () => {
		await apply([entry]);
		const before = run("nft", "list", "ruleset");
		let transactions = 0;
		const failing = disturbed((commands) => {
			if (++transactions === 2) throw new NftablesError("REFUSED", "change the ruleset: ENOMEM");
			return commands;
		});
		const error = await refused(apply([entry, { ...entry, ordinal: 2048 }], failing));
		assert.equal(error.message, "change the ruleset: ENOMEM");
		assert.equal(run("nft", "list", "ruleset"), before);
		await apply([]);
	});

	it("IPv6 disabled on the host: its rules can be set and read all the same", async () => {
		run("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1");
		const rule = parseRuleSpec("-m dscp --dscp 1 -j DADDR --set-daddr fc00::1", { ...PLACE, family: "ipv6" });
		await apply([{ rule, ordinal: 1 }]);
		const { rules, findings } = await new NftDatapath().observe();
		assert.deepEqual(findings, []);
		assert.deepEqual(
			rules.map((one) => one.rule),
			[rule],
		);
		await apply([]);
	});
});

describe("another program's change between our reading and our change", () => {
	it("is noticed, and the change is planned again", async () => {
		await apply([entry]);
		let others = 0;
		const datapath = disturbed((commands) => {
			// Also deletes our rules, so that the first plan's handles are wrong.
			if (++others === 1) run("nft", "flush ruleset; add table ip somebody");
			return commands;
		});
		await apply([entry, LINEAR], datapath);
		const { rules, findings } = await datapath.observe();
		assert.deepEqual(findings, []);
		assert.deepEqual(
			rules.map(({ rule }) => rule),
			[LINEAR.rule, entry.rule],
		);
		assert.match(run("nft", "list", "ruleset"), /table ip somebody/);
		await apply([]);
		run("nft", "delete table ip somebody");
	});

	it("is also noticed between filling the new maps and adding the rules: the first attempt leaves nothing", async () => {
		await apply([entry]);
		let transactions = 0;
		const datapath = disturbed((commands) => {
			if (++transactions === 2) run("nft", "add table ip somebody");
			return commands;
		});
		const two = [entry, { ...entry, ordinal: 2048 }];
		await apply(two, datapath);
		const { rules, findings } = await datapath.observe();
		assert.deepEqual(findings, []);
		assert.equal(rules.length, 2);
		await apply([]);
		run("nft", "delete table ip somebody");
	});

	it("has no effect if it is in other tables, however often it happens", async () => {
		await apply([entry]);
		let others = 0;
		const datapath = disturbed((commands) => {
			if (++others <= 100)
				run("nft", `add table ip somebody; add chain ip somebody c${others}; flush table ip somebody`);
			return commands;
		});
		await apply([entry, LINEAR], datapath);
		assert.ok(others > 100);
		const { rules, findings } = await datapath.observe();
		assert.deepEqual(findings, []);
		assert.equal(rules.length, 2);
		run("nft", "flush ruleset");
	});

	it("in our own tables at each attempt ends in an error, and leaves the tables unchanged", async () => {
		await apply([entry]);
		let others = 0;
		const datapath = disturbed((commands) => {
			run("nft", `add chain ip l3dsr theirs${++others}`);
			return commands;
		});
		const error = await refused(apply([entry, LINEAR], datapath));
		assert.equal(error.code, "DATAPATH_CHANGED");
		assert.match(
			error.message,
			/another program changed table l3dsr of nftables during each of \d+ attempts/,
		);
		const left = await new NftDatapath().observe();
		assert.deepEqual(
			left.rules.map(({ rule }) => rule),
			[entry.rule],
		);
		assert.equal(left.findings.length, others);
		run("nft", "flush ruleset");
	});
});

describe("a kernel whose maps cannot count", () => {
	/** Answers like Linux before 5.7. */
	class OlderNftables extends Nftables {
		override supports(): boolean {
			return false;
		}
	}

	it("gets a separate nft rule for each DADDR rule", async () => {
		const datapath = new NftDatapath(() => new OlderNftables());
		const second: RuleEntry = {
			rule: parseRuleSpec("-m dscp --dscp 2 -j DADDR --set-daddr 10.0.0.2", PLACE),
			ordinal: 2048,
			counters: { packets: 3n, bytes: 180n },
		};
		await apply([entry, second], datapath);
		const { rules, findings } = await datapath.observe();
		assert.deepEqual(findings, []);
		assert.deepEqual(
			rules.map(({ rule, counters }) => [rule, counters.packets]),
			[
				[entry.rule, 0n],
				[second.rule, 3n],
			],
		);
		assert.doesNotMatch(run("nft", "list", "ruleset"), /map/);
		await apply([]);
	});
});
