/**
 * For every change that an outsider can make to a host: `status` shows it, `diff` names it, `up` repairs it,
 * and nothing else is touched. Other people's tables, addresses and programs stay the same to the byte, and
 * so do the counters of other services.
 */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { clsactIngress, Program, tcxIngress, xdpNative } from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { enterNetns, ip, Netns, run, waitFor } from "../../../../../test/support/netns.ts";
import { l3dsr } from "../run-command.ts";
import { foreignChanges, foreignState, harmless, layOut, SERVICES } from "./foreign-changes.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-drift-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");

const peer = new Netns("peer");
after(() => peer[Symbol.dispose]());
ip(`link add eth0 type veth peer name eth0 netns ${peer.name}`);
ip("addr add 10.0.0.2/24 dev eth0");
ip("addr add fd00::2/64 dev eth0 nodad");
ip("link set eth0 up");
peer.ip("addr add 10.0.0.1/24 dev eth0");
peer.ip("link set eth0 up");
await waitFor("carrier", () => readFileSync("/sys/class/net/eth0/operstate", "utf8") === "up\n");
const eth0 = interfaceByName("eth0");

const foreign = [harmless("theirs_first"), harmless("theirs_last")];
after(() => {
	for (const program of foreign) program[Symbol.dispose]();
});

/** Everything that up has created: rules, addresses with labels, the guard. */
async function ownState(): Promise<string> {
	const { rules } = JSON.parse((await succeed("show", "--json")) || "{}");
	const guard = run("nft", "list", "table", "arp", "l3dsr");
	const specs = rules.map(
		({ rule, family, datapath }: Record<string, string>) => `${datapath} ${family} ${rule}`,
	);
	return [...specs.sort(), ip("-o addr show dev lo to 192.0.2.0/24").replaceAll(/ *valid_lft.*/g, ""), guard]
		.concat(ip("-6 -o addr show dev lo to 2001:db8::/64").replaceAll(/ *valid_lft.*/g, ""))
		.map((part) => part.split("\n").sort().join("\n"))
		.join("\n");
}

async function packetsOf(name: string): Promise<number> {
	const { services } = JSON.parse((await l3dsr("status", "--json", "-c", config)).stdout);
	return services.find((row: { name: string }) => row.name === name).packets;
}

async function succeed(...argv: string[]): Promise<string> {
	const { exitCode, stdout, stderr } = await l3dsr(...argv);
	assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" }, stdout);
	return stdout;
}

for (const datapath of ["nft", "ebpf"] as const) {
	describe(`on ${datapath}`, () => {
		before(() => {
			tcxIngress.attach(eth0, foreign[0] as Program);
			clsactIngress.attach(eth0, foreign[0] as Program);
			writeFileSync(config, `datapath: ${datapath}\n${SERVICES}`);
		});
		beforeEach(async () => {
			layOut();
			await succeed("up", "-c", config);
			if (tcxIngress.query(eth0).every(({ programId }) => programId !== foreign[1]?.info.id)) {
				tcxIngress.attach(eth0, foreign[1] as Program);
			}
		});
		after(async () => {
			await succeed("down");
			for (const element of tcxIngress.query(eth0)) tcxIngress.detach(eth0, element);
			run("tc", "qdisc", "del", "dev", "eth0", "clsact");
		});

		for (const { what, act, said, causes, revert } of foreignChanges(datapath, eth0, foreign)) {
			test(`${what}: shown, named, and repaired alone`, async () => {
				const own = await ownState();
				peer.run("ping", "-c2", "-i", "0.01", "-Q", String(11 << 2), "10.0.0.2");
				const quiet = await packetsOf("quiet");
				assert(quiet >= 2);
				await act();
				// Read after the change, so that a change of eth0 itself makes no difference.
				const theirs = foreignState(eth0, foreign);

				const { exitCode, stdout } = await l3dsr("diff", "-c", config);
				assert.equal(exitCode, 4, stdout);
				const lines = stdout.split("\n");
				let at = -1;
				for (const pattern of said) {
					at = lines.findIndex((line, index) => index > at && pattern.test(line));
					assert(at >= 0, `${pattern} in\n${stdout}`);
				}
				assert.deepEqual(
					lines.filter((line) => line.startsWith("possible cause: ")),
					causes.map((cause) => `possible cause: ${cause}`),
				);
				const record = JSON.parse((await l3dsr("diff", "--json", "-c", config)).stdout);
				const named = lines.slice(0, record.drift.length);
				assert.deepEqual(
					record.drift.map(({ object, problem }: Record<string, string>) => `${object} ${problem}`),
					named,
				);
				const { stdout: shown, exitCode: shownAs } = await l3dsr("status", "-c", config);
				assert.ok(shownAs === 1 || shownAs === 4, `status exits with ${shownAs}`);
				for (const line of named) assert(shown.includes(`drift: ${line}\n`), shown);

				await succeed("up", "-c", config);
				assert.match(await succeed("diff", "-c", config), /^no difference/);
				assert.equal(foreignState(eth0, foreign), theirs);
				if (revert !== undefined) {
					revert();
					await succeed("up", "-c", config);
				}
				assert.equal(await ownState(), own);
				if (!named.some((line) => /quiet|tcx|table ip l3dsr/.test(line))) {
					assert.equal(await packetsOf("quiet"), quiet, "counters go on");
				}
			});
		}
	});
}

test("nobody can add, change or delete elements in a program's maps, except for the counters", async () => {
	layOut();
	const many = Array.from({ length: 6 }, (_, n) => `  - { vip: 203.0.113.${n + 1}, dscp: ${n + 20} }\n`);
	writeFileSync(config, `datapath: ebpf\n${SERVICES}${many.join("")}`);
	await succeed("up", "-c", config);
	const [element] = tcxIngress.query(eth0);
	assert(element !== undefined);
	using program = Program.open(element.programId);
	const refused: string[] = [];
	const accepted: string[] = [];
	for (const map of program.openMaps()) {
		using one = map;
		const [first] = one.entries();
		assert(first !== undefined, one.info.name);
		try {
			one.update(first.key, first.value);
			accepted.push(one.info.name);
		} catch (error) {
			assert.match(String(error), /EPERM/);
			assert.throws(() => one.delete(first.key), /EPERM|EINVAL/);
			refused.push(one.info.name);
		}
	}
	// Rules and the host's own addresses, and the range of the counters.
	assert.deepEqual(refused.sort(), ["l3dsr_local4", "l3dsr_local6", "l3dsr_rules"]);
	assert.deepEqual(accepted.sort(), ["l3dsr_base", "l3dsr_count"]);
	await succeed("down");
});

test("an XDP program that was detached is named and attached again", async () => {
	layOut();
	writeFileSync(config, `datapath: ebpf\nhook: xdp\nopen-checksums: accept\n${SERVICES}`);
	await succeed("up", "-c", config);
	assert.equal(xdpNative.query(eth0).length, 1);
	ip("link set dev eth0 xdp off");
	const { exitCode, stdout } = await l3dsr("diff", "-c", config);
	assert.equal(exitCode, 4);
	assert.match(stdout, /^a rule of web is missing$/m);
	await succeed("up", "-c", config);
	assert.equal(xdpNative.query(eth0).length, 1);
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	await succeed("down");
	assert.equal(xdpNative.query(eth0).length, 0);
});

test("if everything of nftables is gone at once, diff knows the possible causes", async () => {
	layOut();
	writeFileSync(config, `datapath: nft\n${SERVICES}`);
	await succeed("up", "-c", config);
	run("nft", "flush ruleset");
	const { exitCode, stdout } = await l3dsr("diff", "--json", "-c", config);
	assert.equal(exitCode, 4);
	const record = JSON.parse(stdout);
	assert.match(record.suspects.join(), /nft flush ruleset/);
	assert.deepEqual(
		new Set(record.drift.map(({ kind }: { kind: string }) => kind)),
		new Set(["guard", "rule-missing"]),
	);
});
