import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { enterNetns, run } from "../../../../../test/support/netns.ts";
import { L3dsrError } from "../../../src/errors.ts";
import { type ProgramResult, type ProgramRunner, systemPrograms } from "../../../src/host/process.ts";
import type { RuleEntry } from "../../../src/model/ruleset.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { parseRuleSpec } from "../../../src/syntax/iptables/rule-parser.ts";
import { setRules } from "../set-rules.ts";

enterNetns();

const real = systemPrograms(process.env);
const entry: RuleEntry = {
	rule: parseRuleSpec("-m dscp --dscp 1 -j DADDR --set-daddr 10.0.0.1", {
		family: "ipv4",
		table: "raw",
		chain: "PREROUTING",
	}),
	ordinal: 1024,
};

/** A datapath whose nft gives this answer, or changes its input first. */
function withNft(
	answer: (args: readonly string[], input: string | undefined) => Partial<ProgramResult> | undefined,
	change: (input: string) => string = (input) => input,
): NftDatapath {
	const programs: ProgramRunner = {
		async run(program, args, options) {
			const given = answer(args, options?.input);
			if (given !== undefined) return { exitCode: 1, stdout: "", stderr: "", ...given };
			const input = options?.input;
			return await real.run(program, args, input === undefined ? {} : { input: change(input) });
		},
	};
	return new NftDatapath(programs);
}

async function refused(action: Promise<unknown>): Promise<L3dsrError> {
	try {
		await action;
	} catch (error) {
		assert.ok(error instanceof L3dsrError, String(error));
		return error;
	}
	return assert.fail("nothing was refused");
}

/** A rule added where there is none yet: the first thing that needs nft. */
async function addFirst(datapath: NftDatapath): Promise<void> {
	await setRules(datapath, { entries: [entry] });
}

describe("what keeps nft from working", () => {
	it("not installed: names the package, exit code 3", async () => {
		const missing = real.run("l3dsr-no-nft", []);
		const error = await refused(addFirst(new NftDatapath({ run: () => missing })));
		assert.equal(error.code, "PROGRAM_MISSING");
		assert.equal(error.exitCode, 3);
	});

	it("no root: says so", async () => {
		const asNobody: ProgramRunner = {
			run: (program, args, options) => {
				const drop = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
				return real.run("setpriv", [...drop, program, ...args], options);
			},
		};
		const error = await refused(addFirst(new NftDatapath(asNobody)));
		assert.equal(error.code, "KERNEL_PERMISSION");
		assert.match(error.message, /^nft: change the rules: .*Operation not permitted/);
		assert.equal(error.diagnostics[0].hint, "run this as root");
	});

	it("a kernel without nf_tables: says so, exit code 3", async () => {
		const stderr = "netlink: Error: cache initialization failed: Protocol not supported\n";
		const error = await refused(addFirst(withNft(() => ({ stderr }))));
		assert.equal(error.code, "KERNEL_FEATURE");
		assert.equal(error.exitCode, 3);
		assert.match(error.message, /the running kernel has no nf_tables/);
	});

	it("a line that nft refuses: names its rule, and the old rules are in force", async () => {
		const good = new NftDatapath(real);
		await setRules(good, { entries: [entry] });
		const before = run("nft", "-a", "list", "ruleset");
		const spoiled = withNft(
			() => undefined,
			(input) => input.replace("10.0.0.77 comment", "nonsense comment"),
		);
		const linear = parseRuleSpec("-s 10.0.0.7 -j DADDR --set-daddr 10.0.0.77", {
			family: "ipv4",
			table: "raw",
			chain: "PREROUTING",
		});
		const entries = [
			{ ...entry, ordinal: 4 },
			{ rule: linear, ordinal: 5 },
		];
		const error = await refused(setRules(spoiled, { entries }));
		assert.equal(error.code, "PROGRAM_FAILED");
		assert.match(
			error.message,
			/^nft: change the rules: rule 5 -s 10\.0\.0\.7\/32 -j DADDR --set-daddr 10\.0\.0\.77: /,
		);
		assert.equal(run("nft", "-a", "list", "ruleset"), before);
		await setRules(good, { entries: [] });
	});

	it("maps that were filled for rules that then failed are taken away again", async () => {
		const good = new NftDatapath(real);
		await setRules(good, { entries: [entry] });
		const before = run("nft", "list", "ruleset");
		let runs = 0;
		const failing = withNft((args) =>
			args[0] === "-f" && ++runs === 2 ? { stderr: "Error: no" } : undefined,
		);
		const two = [entry, { ...entry, ordinal: 2048 }];
		const error = await refused(setRules(failing, { entries: two }));
		assert.equal(error.message, "nft: change the rules: no");
		assert.equal(run("nft", "list", "ruleset"), before);
		await setRules(good, { entries: [] });
	});

	it("IPv6 switched off on the host: its rules can be set and read all the same", async () => {
		const nft = new NftDatapath(real);
		run("sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1");
		const rule = parseRuleSpec("-m dscp --dscp 1 -j DADDR --set-daddr fc00::1", {
			family: "ipv6",
			table: "raw",
			chain: "PREROUTING",
		});
		await setRules(nft, { entries: [{ rule, ordinal: 1 }] });
		const { rules, findings } = await nft.observe();
		assert.deepEqual(findings, []);
		assert.deepEqual(
			rules.map((one) => one.rule),
			[rule],
		);
	});
});
