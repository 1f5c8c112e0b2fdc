/**
 * Every change that an outsider can make to a host while the agent runs: the agent repairs it, one record
 * names the finding and the likely cause, and nothing else is touched.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, test } from "node:test";
import { clsactIngress, type Program, tcxIngress } from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { enterNetns, ip, Netns, run, waitFor } from "../../../../test/support/netns.ts";
import type { AgentRecord, RepairedRecord } from "../../src/agent/record.ts";
import { l3dsr } from "../cli/run-command.ts";
import { deedsOn, foreignState, harmless, layOut, SERVICES } from "../cli/services/deeds.ts";
import { AgentProcess, PATIENCE_MS } from "./agent-process.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-repairs-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");

const peer = new Netns("peer");
after(() => peer[Symbol.dispose]());

/** A network card with its addresses, and the host behind it. */
async function makeEth0(): Promise<void> {
	ip(`link add eth0 type veth peer name eth0 netns ${peer.name}`);
	ip("addr add 10.0.0.2/24 dev eth0");
	ip("addr add fd00::2/64 dev eth0 nodad");
	// Without a link-local address, which would appear between two readings.
	ip("link set eth0 addrgenmode none up");
	peer.ip("addr add 10.0.0.1/24 dev eth0");
	peer.ip("link set eth0 up");
	await waitFor("carrier", () => readFileSync("/sys/class/net/eth0/operstate", "utf8") === "up\n");
}
await makeEth0();

const foreign = [harmless("theirs_first"), harmless("theirs_last")];
after(() => {
	for (const program of foreign) program[Symbol.dispose]();
});

async function isRight(): Promise<boolean> {
	return (await l3dsr("diff", "-c", config)).exitCode === 0;
}

/**
 * The record of a repair of what `said` describes. If a fault of several steps is seen half done, another
 * record has the rest.
 */
async function repairOf(
	agent: AgentProcess,
	act: () => unknown,
	said: readonly RegExp[],
): Promise<RepairedRecord> {
	const known = agent.records.length;
	await act();
	const isMeant = (record: AgentRecord): record is RepairedRecord =>
		record.kind === "repaired" &&
		record.drift.some(({ object, problem }) => said.some((one) => one.test(`${object} ${problem}`)));
	const record = await agent.untilRecord<RepairedRecord>(isMeant, known);
	await waitFor("a host that is right again", isRight, PATIENCE_MS);
	return record;
}

/** Faults that are the same on both datapaths are tried on one. */
const ONLY_ON_EBPF = /program|host gets|table that translates/;

for (const datapath of ["nft", "ebpf"] as const) {
	describe(`on ${datapath}`, () => {
		const eth0 = interfaceByName("eth0");
		let agent: AgentProcess;
		before(async () => {
			tcxIngress.attach(eth0, foreign[0] as Program);
			clsactIngress.attach(eth0, foreign[0] as Program);
			writeFileSync(config, `datapath: ${datapath}\n${SERVICES}`);
			layOut();
			agent = await AgentProcess.start(config);
			tcxIngress.attach(eth0, foreign[1] as Program);
		});
		afterEach(() => assert.equal(agent.child.exitCode, null, agent.said.join("\n")));
		after(async () => {
			await agent[Symbol.asyncDispose]();
			assert.equal((await l3dsr("down")).exitCode, 0);
			for (const element of tcxIngress.query(eth0)) tcxIngress.detach(eth0, element);
			run("tc", "qdisc", "del", "dev", "eth0", "clsact");
		});

		const deeds = deedsOn(datapath, eth0, foreign).filter(
			({ what }) => datapath === "nft" || ONLY_ON_EBPF.test(what),
		);
		for (const { what, act, said, revert } of deeds) {
			test(`${what}: repaired with a reason, and nothing else is touched`, async () => {
				let theirs = "";
				const { cause, triggers } = await repairOf(
					agent,
					async () => {
						await act();
						theirs = foreignState(eth0, foreign);
					},
					said,
				);
				assert.notEqual(cause.kind, "unknown");
				assert(cause.suspects.length > 0, JSON.stringify(cause));
				assert(!triggers.includes("minute"), "an event reported it, not the periodic check");
				assert.equal(foreignState(eth0, foreign), theirs);
				if (revert !== undefined) await repairOf(agent, revert, said);
			});
		}
	});
}
