/** `l3dsr up` is stopped half-way, by kill -9 and by Ctrl-C, while a client sends requests. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { commandPath } from "../../../../../test/support/commands.ts";
import { enterNetns, ip, Netns, run, waitFor } from "../../../../../test/support/netns.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-stopped-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const command = commandPath("l3dsr");

const client = new Netns("client");
after(() => client[Symbol.dispose]());
const REALS = ["10.0.0.2", "10.0.1.2"];
for (const [index, real] of REALS.entries()) {
	ip(`link add eth${index} type veth peer name eth${index} netns ${client.name}`);
	ip(`addr add ${real}/24 dev eth${index}`);
	ip(`link set eth${index} up`);
	client.ip(`addr add 10.0.${index}.1/24 dev eth${index}`);
	client.ip(`link set eth${index} up`);
	await waitFor("carrier", () => readFileSync(`/sys/class/net/eth${index}/operstate`, "utf8") === "up\n");
}

type Services = Readonly<Record<number, string>>;

/** DSCP → VIP, before and after: two VIPs are swapped, one is removed, one is added, one stays. */
const OLD: Services = {
	7: "192.0.2.10",
	9: "192.0.2.11",
	11: "192.0.2.12",
	13: "192.0.2.13",
};
const NEW: Services = {
	7: "192.0.2.11",
	9: "192.0.2.10",
	13: "192.0.2.13",
	15: "192.0.2.14",
};
const CODES = [7, 9, 11, 13, 15];

function write(datapath: string, services: Services): void {
	const lines = Object.entries(services).map(([dscp, vip]) => `  - { vip: ${vip}, dscp: ${dscp} }\n`);
	const list = lines.length === 0 ? " []" : `\n${lines.join("")}`;
	writeFileSync(config, `datapath: ${datapath}\nservices:${list}`);
}

async function succeed(...argv: string[]): Promise<string> {
	const { exitCode, stdout, stderr } = await l3dsr(...argv);
	assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" });
	return stdout;
}

/** The addresses that answer a ping to the real address, for each code. */
function answers(real: string): string[] {
	return CODES.map((code) => {
		const ping = ["-n", "-c1", "-W2", "-Q", String(code << 2), real];
		return /bytes from ([^ ]+?):? /.exec(client.run("ping", ...ping))?.[1] ?? "nobody";
	});
}

/** The result of {@link answers} if all these services are up. */
function answersOf(services: Services, real: string): string[] {
	return CODES.map((code) => services[code] ?? real);
}

/** Each interface has all old rules or all new ones; nft has one table for all of them. */
function assertOldOrNew(datapath: string, where: string, old: Services = OLD): void {
	const states = REALS.map((real) => {
		const seen = answers(real);
		const state = [old, NEW].findIndex((services) => String(answersOf(services, real)) === String(seen));
		assert(state >= 0, `${where}: ${real} is answered by ${seen}`);
		return state;
	});
	if (datapath === "nft") assert.equal(new Set(states).size, 1, where);
}

async function assertRepaired(): Promise<void> {
	await succeed("up", "-c", config);
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	for (const real of REALS) assert.deepEqual(answers(real), answersOf(NEW, real));
	assert.equal(ip("-o addr show to 192.0.2.12"), "", "what has gone from the file is gone");
}

/** The host has the old services, the file has the new ones. */
async function startOver(datapath: string, old: Services = OLD): Promise<void> {
	write(datapath, old);
	await succeed("up", "-c", config);
	write(datapath, NEW);
}

/**
 * The positions, among the sendto(2) calls of an undisturbed command, of those that change addresses or
 * nf_tables.
 */
function netlinkChanges(...argv: readonly string[]): number[] {
	const log = join(folder, "sendto.log");
	run("strace", "-o", log, "-e", "trace=sendto", command, ...argv);
	const calls = readFileSync(log, "utf8").match(/^sendto\(.*/gm) ?? [];
	// strace does not always know the netlink protocol.
	const change =
		/^sendto\([^,]*, \[*\{+(nlmsg_)?len=\d+, (nlmsg_)?type=(RTM_(NEW|DEL)ADDR|NFNL_MSG_BATCH_BEGIN|0x1[045] )/;
	return calls.flatMap((call, index) => (change.test(call) ? [index + 1] : []));
}

function withSignal(signal: string, point: number, ...argv: readonly string[]): NodeJS.Signals | null {
	const inject = `inject=sendto:signal=${signal}:when=${point}`;
	return spawnSync("strace", ["-o", "/dev/null", "-e", "trace=sendto", "-e", inject, command, ...argv])
		.signal;
}

beforeEach(async () => {
	await succeed("down");
});

for (const [datapath, before] of [
	["nft", "other services"],
	["nft", "none"],
	["ebpf", "other services"],
	["ebpf", "none"],
] as const) {
	const old = before === "none" ? {} : OLD;
	test(`killed (-9) before any netlink change, on ${datapath}, where ${before} were up: all answers are right, and the next up completes the change`, async () => {
		await startOver(datapath, old);
		const points = netlinkChanges("up", "-c", config);
		// Guard, addresses, rules, addresses, guard; on eBPF bpf(2) changes the rules.
		const least = (before === "none" ? 3 : 5) - (datapath === "nft" ? 0 : 1);
		assert(points.length >= least, `${points.length} points`);
		for (const point of points) {
			if (before === "none") await succeed("down");
			await startOver(datapath, old);
			assert.equal(withSignal("KILL", point, "up", "-c", config), "SIGKILL");
			assertOldOrNew(datapath, `before call ${point}`, old);
			await assertRepaired();
		}
	});
}

test("killed (-9) before any change of down: all services are up or none, and another down completes it", async () => {
	write("nft", NEW);
	await succeed("up", "-c", config);
	const points = netlinkChanges("down");
	assert(points.length >= 3, `${points.length} points`);
	for (const point of points) {
		await succeed("up", "-c", config);
		assert.equal(withSignal("KILL", point, "down"), "SIGKILL");
		assertOldOrNew("nft", `before call ${point}`, {});
		await succeed("down");
		for (const real of REALS) assert.deepEqual(answers(real), answersOf({}, real));
		assert.equal(ip("-o addr show to 192.0.2.0/24"), "");
		assert.doesNotMatch(run("nft", "list", "ruleset"), /l3dsr/);
	}
});

/** Commands of bpf(2) in the order of an undisturbed up, as strace prints them. */
function bpfCommands(): string[] {
	const log = join(folder, "bpf.log");
	run("strace", "-o", log, "-e", "trace=bpf", command, "up", "-c", config);
	return [...readFileSync(log, "utf8").matchAll(/^bpf\((BPF_[A-Z_]+)/gm)].map(([, name = ""]) => name);
}

test("killed (-9) around each attachment of a program, its loading, and the transfer of counters: as above", async () => {
	await startOver("ebpf");
	const commands = bpfCommands();
	const points = commands.flatMap((name, index) => {
		// The call itself does not happen; its effect is that of a kill at the next one.
		if (name === "BPF_PROG_ATTACH" || name === "BPF_LINK_UPDATE") return [index + 1, index + 2];
		const first = commands.indexOf(name) === index;
		return first && (name === "BPF_MAP_UPDATE_ELEM" || name === "BPF_PROG_LOAD") ? [index + 1] : [];
	});
	assert(commands.filter((name) => name === "BPF_PROG_ATTACH").length >= 2, commands.join());
	for (const point of new Set(points)) {
		await startOver("ebpf");
		const inject = `inject=bpf:signal=KILL:when=${point}`;
		const strace = ["-o", "/dev/null", "-e", "trace=bpf", "-e", inject];
		const { signal } = spawnSync("strace", [...strace, command, "up", "-c", config]);
		assert.equal(signal, "SIGKILL", `at call ${point}`);
		assertOldOrNew("ebpf", `before bpf call ${point}, ${commands[point - 1]}`);
		await assertRepaired();
	}
});

for (const datapath of ["nft", "ebpf"]) {
	test(`Ctrl-C at any netlink change on ${datapath}: the change is completed, then the command ends by the signal`, async () => {
		await startOver(datapath);
		for (const point of netlinkChanges("up", "-c", config)) {
			await startOver(datapath);
			assert.equal(withSignal("INT", point, "up", "-c", config), "SIGINT");
			assert.match(await succeed("diff", "-c", config), /^no difference/);
			for (const real of REALS) assert.deepEqual(answers(real), answersOf(NEW, real));
		}
	});
}

test("Ctrl-C while up waits for another command ends it at once, without a change", async () => {
	write("nft", NEW);
	const lock = run("stat", "-Lc", "%i", "/proc/self/ns/net").trim();
	const holder = spawn("flock", [`/run/l3dsr.${lock}.lock`, "sh", "-c", "echo held; cat"], {
		stdio: ["pipe", "pipe", "inherit"],
	});
	await once(holder.stdout, "data");
	const child = spawn(command, ["up", "-c", config], { stdio: "ignore" });
	const closed = once(child, "close");
	// It has the file open while it waits.
	await waitFor("up at the lock", () =>
		run("sh", "-c", `ls -l /proc/${child.pid}/fd 2>/dev/null || true`).includes(`l3dsr.${lock}.lock`),
	);
	child.kill("SIGINT");
	const [, signal] = await closed;
	assert.equal(signal, "SIGINT");
	assert.equal(ip("-o addr show to 192.0.2.0/24"), "");
	holder.stdin.end();
	await once(holder, "close");
});
