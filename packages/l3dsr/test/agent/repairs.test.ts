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
import {
	type ForeignChange,
	foreignChanges,
	foreignState,
	harmless,
	layOut,
	SERVICES,
} from "../cli/services/foreign-changes.ts";
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

/** The record of the repair that `said` describes: the only one, unless the change is made in several steps. */
async function repairOf(
	agent: AgentProcess,
	act: () => unknown,
	{ said, inSteps }: Pick<ForeignChange, "said" | "inSteps">,
): Promise<RepairedRecord> {
	const known = agent.records.length;
	await act();
	const isMeant = (record: AgentRecord): record is RepairedRecord =>
		record.kind === "repaired" &&
		record.drift.some(({ object, problem }) => said.some((one) => one.test(`${object} ${problem}`)));
	const record = await agent.untilRecord<RepairedRecord>(isMeant, known);
	await waitFor("a host that is right again", isRight, PATIENCE_MS);
	const repairs = agent.records.slice(known).filter(({ kind }) => kind === "repaired");
	if (inSteps !== true) assert.deepEqual(repairs, [record]);
	return record;
}

/** Faults that are the same on both datapaths are tried on one. */
const DIFFERENT_ON_EBPF =
	/program|host gets|table that translates|^a rule (is removed|stands|of a service)|rules of (IPv4|two VIPs)/;

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

		const changes = foreignChanges(datapath, eth0, foreign).filter(
			({ what }) => datapath === "nft" || DIFFERENT_ON_EBPF.test(what),
		);
		for (const { what, act, said, inSteps, revert } of changes) {
			test(`${what}: repaired with a reason, and nothing else is touched`, async () => {
				let theirs = "";
				const { cause, triggers } = await repairOf(
					agent,
					async () => {
						await act();
						theirs = foreignState(eth0, foreign);
					},
					{ said, ...(inSteps === undefined ? {} : { inSteps }) },
				);
				assert.notEqual(cause.kind, "unknown");
				assert(cause.suspects.length > 0, JSON.stringify(cause));
				assert(!triggers.includes("minute"), "an event reported it, not the periodic check");
				assert.equal(foreignState(eth0, foreign), theirs);
				if (revert !== undefined) await repairOf(agent, revert, { said });
			});
		}
	});
}

/** What the agent did about `act`, with the services on this datapath. */
async function repairWith(
	settings: string,
	act: () => unknown,
	change: Pick<ForeignChange, "said" | "inSteps">,
) {
	writeFileSync(config, `${settings}\n${SERVICES}`);
	layOut();
	try {
		await using agent = await AgentProcess.start(config);
		return await repairOf(agent, act, change);
	} finally {
		assert.equal((await l3dsr("down")).exitCode, 0);
	}
}

test("nft flush ruleset: one repair, and the record says that everything of nftables was gone", async () => {
	const said = [/^a rule of web is missing$/];
	const { cause, drift } = await repairWith("datapath: nft", () => run("nft", "flush ruleset"), { said });
	assert.equal(cause.kind, "ruleset-flushed");
	assert.match(cause.suspects[0] ?? "", /nft flush ruleset/);
	assert.equal(cause.by?.program, "nft");
	assert.deepEqual(new Set(drift.map(({ kind }) => kind)), new Set(["guard", "rule-missing"]));
});

test("nft flush ruleset is named also where nftables has nothing but our tables", async () => {
	const { cause } = await repairWith(
		"datapath: nft",
		() => {
			for (const line of run("nft", "list tables").split("\n").filter(Boolean))
				if (!line.endsWith(" l3dsr")) run("nft", `delete ${line}`);
			run("nft", "flush ruleset");
		},
		{ said: [/^a rule of web is missing$/] },
	);
	assert.equal(cause.kind, "ruleset-flushed", JSON.stringify(cause));
});

test("when nothing is left, and when IPv6 comes back, the record still names the cause", async () => {
	writeFileSync(config, `datapath: nft\n${SERVICES}`);
	layOut();
	try {
		await using agent = await AgentProcess.start(config);
		const known = agent.records.length;
		agent.child.kill("SIGSTOP");
		run("nft", "flush ruleset");
		ip("addr flush dev lo scope global");
		agent.child.kill("SIGCONT");
		const { cause, drift } = await agent.until("repaired", known);
		assert.ok(drift.some(({ kind }) => kind === "address-missing"));
		assert.equal(cause.kind, "ruleset-flushed", JSON.stringify(cause));
		assert.match(cause.suspects[0] ?? "", /nft flush ruleset/);
		for (const disabled of [1, 0]) {
			const before = agent.records.length;
			run("sysctl", "-qw", `net.ipv6.conf.lo.disable_ipv6=${disabled}`);
			const told = await agent.until("repaired", before);
			assert.equal(told.cause.kind, "ipv6", JSON.stringify(told));
			assert.match(told.cause.suspects[0] ?? "", /^sysctl: net\.ipv6/);
		}
	} finally {
		run("sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=0");
		assert.equal((await l3dsr("down")).exitCode, 0);
	}
});

test("a container that starts and a renewed lease are not the cause, nor is a process with the number of another", async () => {
	writeFileSync(config, `datapath: nft\n${SERVICES}`);
	layOut();
	try {
		await using agent = await AgentProcess.start(config);
		/** The agent hears of all of it at once. */
		const beside = (act: () => unknown) => async (): Promise<void> => {
			agent.child.kill("SIGSTOP");
			act();
			ip("link add dock0 type veth peer name dock1");
			ip("addr replace 10.0.0.2/24 dev eth0 valid_lft 3600 preferred_lft 3600");
			agent.child.kill("SIGCONT");
		};
		const rules = await repairOf(
			agent,
			beside(() => run("nft", "delete table ip l3dsr")),
			{ said: [/^a rule of web is missing$/] },
		);
		assert.deepEqual([rules.cause.kind, rules.cause.by?.program], ["rules", "nft"]);
		ip("link del dock0");
		// Its number in its own PID namespace is that of the first process of this one.
		const away = ["unshare", "--pid", "--fork", "ip", "addr", "del", "192.0.2.10/32", "dev", "lo"] as const;
		const vip = await repairOf(
			agent,
			beside(() => run(...away)),
			{ said: [/^192\.0\.2\.10 on lo is not there$/] },
		);
		assert.equal(vip.cause.kind, "vip-addresses");
		assert.equal(vip.cause.by, undefined);
	} finally {
		assert.equal((await l3dsr("down")).exitCode, 0);
	}
});

test("an XDP program that is taken away: one repair, and the record names a program", async () => {
	const { cause } = await repairWith(
		"datapath: ebpf\nhook: xdp\nopen-checksums: accept",
		() => ip("link set dev eth0 xdp off"),
		{ said: [/^a rule of web is missing$/] },
	);
	assert.equal(cause.kind, "program");
});

test("an interface that is deleted and created again: its program comes back, and the record says so", async () => {
	const { cause } = await repairWith(
		"datapath: ebpf\ninterfaces: [eth0]",
		async () => {
			ip("link del eth0");
			await makeEth0();
		},
		{ said: [/^a rule of web is missing$/], inSteps: true },
	);
	// Deletion, creation and the address may be heard one by one; each may be followed by a repair.
	assert.match(cause.kind, /^(network|program)$/);
	assert.match(
		cause.suspects[0] ?? "",
		/interface (eth0 was (deleted|created)|that was deleted and created)/,
	);
});
