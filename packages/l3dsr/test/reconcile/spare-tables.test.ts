/** Tables that are ready to be sent when somebody deletes them, in the kernel. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { Nftables, type TableId } from "@l3dsr/nftables";
import { enterNetns, run } from "../../../../test/support/netns.ts";
import { systemHost } from "../../src/cli/iptables/host.ts";
import { runIptables } from "../../src/cli/iptables-daddr.ts";
import { configuredTarget } from "../../src/reconcile/configured-host.ts";
import { planHost } from "../../src/reconcile/reconcile.ts";
import { SpareTables } from "../../src/reconcile/spare-tables.ts";
import { SYSTEM_EFFECTS } from "../../src/reconcile/system-effects.ts";
import type { Plan } from "../../src/reconcile/target.ts";
import { SYSTEM_FILES } from "../../src/sources/source-files.ts";
import { loadWish } from "../../src/sources/wish.ts";
import { captureContext, l3dsr } from "../cli/run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-spare-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
writeFileSync(
	config,
	`datapath: nft
services:
  - { vip: 192.0.2.10, name: web, dscp: 7 }
  - { vip: 192.0.2.11, name: dns, dscp: 8, protocol: udp, ports: [53], set-port: 5353 }
  - { vip: "2001:db8::10", name: six, dscp: 9 }
`,
);
after(() => l3dsr("down"));

beforeEach(async () => {
	const { exitCode, stderr } = await l3dsr("up", "-c", config);
	assert.equal(exitCode, 0, stderr);
});

async function planned(): Promise<Plan> {
	const { configuration } = await loadWish(SYSTEM_FILES, config, {});
	const datapath = await SYSTEM_EFFECTS.openDatapath(configuration);
	return await planHost(
		SYSTEM_EFFECTS,
		datapath,
		configuredTarget(SYSTEM_EFFECTS, configuration, async () => []),
	);
}

async function kept(open = () => new Nftables()): Promise<SpareTables> {
	const plan = await planned();
	assert.deepEqual(plan.steps, []);
	const spare = new SpareTables(open);
	spare.keep(plan);
	return spare;
}

const ruleset = (): string => run("nft", "--stateless", "list", "ruleset");

test("deleted tables come back as they were, and nothing is left to do", async () => {
	const spare = await kept();
	const before = ruleset();
	assert.match(before, /table arp l3dsr/);
	assert.equal(spare.isMissing(), false);
	for (const deleted of ["ip", "ip6", "arp"]) {
		run("nft", "delete", "table", deleted, "l3dsr");
		assert.equal(spare.isMissing(), true);
		const restored = spare.restore();
		assert.deepEqual(
			restored?.steps.map(({ kind }) => kind),
			[deleted === "arp" ? "guard" : "rules"],
		);
		assert.deepEqual((await planned()).steps, []);
		assert.equal(ruleset().length, before.length);
	}
	run("nft", "flush", "ruleset");
	assert.deepEqual(
		spare.restore()?.steps.map(({ kind }) => kind),
		["guard", "rules"],
	);
	assert.deepEqual((await planned()).steps, []);
	assert.equal(ruleset(), before);
	assert.equal(spare.restore(), undefined);
});

test("a table that is there stays as it is, whatever it holds", async () => {
	const spare = await kept();
	run("nft", "flush", "table", "ip", "l3dsr");
	const altered = ruleset();
	assert.equal(spare.isMissing(), false);
	assert.equal(spare.restore(), undefined);
	assert.equal(ruleset(), altered);
});

test("nothing is sent over a change that another process makes meanwhile", async () => {
	class Raced extends Nftables {
		override hasTable(table: TableId): boolean {
			const has = super.hasTable(table);
			run("nft", "add", "table", table.family, "l3dsr");
			return has;
		}
	}
	const spare = await kept(() => new Raced());
	run("nft", "flush", "ruleset");
	assert.equal(spare.restore(), undefined);
	assert.equal(ruleset(), "table arp l3dsr {\n}\ntable ip l3dsr {\n}\ntable ip6 l3dsr {\n}\n");
});

test("a table with a rule of iptables-daddr is left to a plan, which leaves out that rule", async () => {
	const rule = "-t raw -A PREROUTING -m dscp --dscp 3 -j DADDR --set-daddr 192.0.2.99";
	const { context, printed } = captureContext(...rule.split(" "));
	assert.equal(
		await runIptables({ ...context, programName: "iptables-daddr" }, systemHost()),
		0,
		printed.stderr,
	);
	const spare = await kept();
	run("nft", "delete", "table", "ip", "l3dsr");
	assert.equal(spare.isMissing(), false);
	run("nft", "delete", "table", "ip6", "l3dsr");
	assert.equal(spare.isMissing(), true);
});
