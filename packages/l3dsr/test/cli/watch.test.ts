import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, afterEach, before, test } from "node:test";
import { Program, programIdOf, tcxIngress } from "@l3dsr/bpf";
import { interfaceByName, PacketSocket } from "@l3dsr/linux";
import { enterNetns, ip, run, waitFor } from "../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../test/support/node.ts";
import { assertRecord } from "../../../../test/support/records.ts";
import { openDatapath } from "../../src/rewrite/host-datapath.ts";
import { ethernet, icmpv6, ipv4, ipv6, tcp, udp } from "../packets/build.ts";
import { daddrRule } from "../packets/rules.ts";
import { setRules } from "../rewrite/set-rules.ts";
import { l3dsr } from "./run-command.ts";

enterNetns();

const MAC = "02:00:00:00:00:02";
/** A process may have to wait for many others before it starts. */
const PATIENCE_MS = 60_000;
const children: ChildProcess[] = [];

before(async () => {
	ip(`link add v0 address ${MAC} type veth peer name v1`);
	run("sysctl", "-qw", "net.ipv6.conf.v1.disable_ipv6=1");
	ip("link set v0 up");
	ip("link set v1 up");
	// With an interface a rule runs on ebpf, without one on nft.
	const header = { inInterface: { name: "v0", wildcard: false, negated: false } };
	const rules = [
		daddrRule("192.0.2.10", { dscp: 7, header, matches: [{ kind: "comment", text: "l3dsr:web" }] }),
		daddrRule("2001:db8::10", { dscp: 8 }),
		daddrRule("192.0.2.20", { dscp: 20 }),
	];
	const datapath = openDatapath();
	const entries = rules.map((rule, index) => ({ rule, ordinal: 1024 * (index + 1) }));
	await setRules(datapath, { entries });
});
after(() => ip("link delete v0"));

const WEB = ipv4(
	{ source: "203.0.113.9", destination: "10.0.0.5", dscp: 7 },
	tcp({ sourcePort: 51234, destinationPort: 80 }),
);
const PING6 = ipv6({ source: "2001:db8:1::9", destination: "2001:db8:2::5", dscp: 8 }, icmpv6());
const DNS = ipv4(
	{ source: "203.0.113.9", destination: "10.0.0.5", dscp: 20 },
	udp({ sourcePort: 5353, destinationPort: 53 }),
);
const OTHER = ipv4({ source: "203.0.113.9", destination: "10.0.0.5", dscp: 46 }, udp());

// Processes left by a failed test would keep the file from ending.
afterEach(() => {
	for (const child of children.splice(0)) child.kill("SIGKILL");
});

function send(...packets: readonly Uint8Array[]): void {
	using socket = new PacketSocket({ interfaceName: "v1", etherType: 0 });
	socket.send(packets.map((packet) => ethernet({ destination: MAC }, packet)));
}

/** Ids of programs at the hook, with a `*` for those held by a link. */
function programs(): string[] {
	return tcxIngress
		.query(interfaceByName("v0"))
		.map(({ programId, linkId }) => `${programId}${linkId === undefined ? "" : "*"}`);
}

function ruleset(): string {
	return run("nft", "-s", "list", "ruleset");
}

/** Waits until a watcher is in front of both datapaths. */
async function watching(): Promise<void> {
	await waitFor(
		"watcher in front of both datapaths",
		() => programs().length === 2 && /table ip6 l3dsr_watch/.test(ruleset()),
		PATIENCE_MS,
	);
}

function spawnWatch(...argv: string[]): ChildProcess & { readonly text: () => string } {
	const child = spawn(
		process.execPath,
		[...FROM_SOURCE, "packages/l3dsr/test/cli/l3dsr-process.ts", "watch", ...argv],
		{
			stdio: ["ignore", "pipe", "inherit"],
		},
	);
	children.push(child);
	let text = "";
	child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
		text += chunk;
	});
	return Object.assign(child, { text: () => text });
}

test("watch prints a line for each rewritten packet, and ends after --count of them", async () => {
	const [programsBefore, rulesetBefore] = [programs(), ruleset()];
	const outcome = l3dsr("watch", "--count", "3");
	await watching();
	send(OTHER, WEB, PING6, DNS);
	const { exitCode, stdout, stderr } = await outcome;
	assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" });
	const lines = stdout.replace(/^\d\d:\d\d:\d\d\.\d{3} {2}/gm, "").split("\n");
	assert.deepEqual(lines.sort(), [
		"",
		"2001:db8:1::9 > 2001:db8::10  ipv6-icmp  DSCP 8 (TOS 0x20)  real 2001:db8:2::5  v0  nft  raw: -A PREROUTING -m dscp --dscp 0x08 -j DADDR --set-daddr 2001:db8::10",
		"203.0.113.9:51234 > 192.0.2.10:80  tcp  DSCP 7 (TOS 0x1c)  real 10.0.0.5  v0  ebpf  service web",
		"203.0.113.9:5353 > 192.0.2.20:53  udp  DSCP 20 (TOS 0x50)  real 10.0.0.5  v0  nft  raw: -A PREROUTING -m dscp --dscp 0x14 -j DADDR --set-daddr 192.0.2.20",
	]);
	assert.deepEqual([programs(), ruleset()], [programsBefore, rulesetBefore]);
});

test("watch --json prints the same as records, and a signal stops it", async () => {
	const child = spawnWatch("--json", "--dscp", "7");
	await waitFor("watcher", () => programs().length === 2, PATIENCE_MS);
	const sentMs = Date.now();
	send(WEB, DNS, OTHER);
	await waitFor("a line", () => child.text().includes("\n"), PATIENCE_MS);
	child.kill("SIGTERM");
	await waitFor("the end", () => child.signalCode !== null || child.exitCode !== null, PATIENCE_MS);
	assert.equal(child.signalCode, "SIGTERM");
	const [line = "", ...more] = child.text().split("\n");
	const { time, schema: _, ...record } = assertRecord("watch", line);
	// The kernel's clock and the wall clock are read one after the other.
	assert.ok(Date.parse(time) >= sentMs - 100 && Date.parse(time) <= Date.now() + 100, time);
	assert.deepEqual(record, {
		client: "203.0.113.9",
		clientPort: 51234,
		vip: "192.0.2.10",
		port: 80,
		protocol: "tcp",
		dscp: 7,
		real: "10.0.0.5",
		interface: "v0",
		datapath: "ebpf",
		bytes: WEB.length,
		service: "web",
		family: "ipv4",
		table: "raw",
		rule: '-A PREROUTING -i v0 -m dscp --dscp 0x07 -m comment --comment "l3dsr:web" -j DADDR --set-daddr 192.0.2.10',
	});
	assert.deepEqual(more, [""]);
	await waitFor("nothing left", () => programs().length === 1 && !/watch/.test(ruleset()), PATIENCE_MS);
});

test("a killed watcher leaves no program, table or log, and the running program unchanged", async () => {
	const [programsBefore, rulesetBefore] = [programs(), ruleset()];
	const [id = programIdOf(1)] = programsBefore.map((text) => programIdOf(Number(text)));
	const tag = () => {
		using program = Program.open(id);
		return `${program.info.tag} ${program.info.mapIds.join()}`;
	};
	const tagBefore = tag();
	const child = spawnWatch();
	await watching();
	const [watcher = ""] = programs();
	assert.match(watcher, /\*$/);
	const log = () => readFileSync("/proc/net/netfilter/nfnetlink_log", "utf8");
	assert.notEqual(log(), "");
	assert.deepEqual((await openDatapath().observe()).findings, [], "a watcher is not a finding");
	child.kill("SIGKILL");
	await waitFor("nothing left", () => programs().length === 1 && !/watch/.test(ruleset()), PATIENCE_MS);
	assert.deepEqual([programs(), ruleset(), log()], [programsBefore, rulesetBefore, ""]);
	assert.equal(tag(), tagBefore);
	const gone = () => {
		try {
			Program.open(programIdOf(Number.parseInt(watcher, 10)))[Symbol.dispose]();
			return false;
		} catch {
			return true;
		}
	};
	await waitFor("the watcher's program gone from the kernel", gone);
});

test("watch refuses input that it cannot read", async () => {
	for (const [argv, said] of [
		[["--vip", "web"], '--vip: "web" is not an IPv4 or IPv6 address'],
		[["--client", "10.0.0.0/33"], '--client: "10.0.0.0/33" is neither an address nor a prefix'],
		[["-i", "a b"], '--interface: "a b" is not the name of an interface'],
		[["--dscp", "64"], "DSCP 64 is out of range, expected 0-63"],
		[["--count", "0"], '--count: "0" is not a number from 1 to'],
	] as const) {
		const { exitCode, stderr } = await l3dsr("watch", ...argv);
		assert.equal(exitCode, 2, stderr);
		assert.ok(stderr.includes(said), stderr);
	}
});
