/** The capabilities that each command needs: the data of docs/reference/capabilities.md. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { tcxIngress } from "@l3dsr/bpf";
import { CAPABILITIES, type CapabilityName, listInterfaces, listLocalRoutes } from "@l3dsr/linux";
import { Nftables } from "@l3dsr/nftables";
import { withCapabilities } from "../../../../test/support/capabilities.ts";
import { enterNetns, ip, run } from "../../../../test/support/netns.ts";
import { FROM_SOURCE } from "../../../../test/support/node.ts";
import { systemHost } from "../../src/cli/iptables/host.ts";
import { runIptables } from "../../src/cli/iptables-daddr.ts";
import { PRIVILEGES_OF } from "../../src/cli/privileges.ts";
import {
	type Authority,
	describeMissing,
	missingFor,
	type Privilege,
	REQUIREMENTS,
} from "../../src/host/capabilities.ts";
import { Stage } from "./director/stage.ts";
import { runCommand as dsrctl } from "./dsrctl/transcript.ts";
import { captureContext, l3dsr, type Outcome } from "./run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-capabilities-"));
after(() => rmSync(folder, { recursive: true }));
chmodSync(folder, 0o755);
const services = "services: [{ name: web, vip: 192.0.2.10, dscp: 7 }]\n";
function configuration(name: string, text: string): string {
	const path = join(folder, `${name}.yaml`);
	writeFileSync(path, text);
	return path;
}
const CONFIG = {
	auto: configuration("auto", services),
	nft: configuration("nft", `datapath: nft\n${services}`),
	ebpf: configuration("ebpf", `datapath: ebpf\n${services}`),
};
ip("link add eth0 type veth peer name p0");
// Without link-local addresses, which appear a second later, between two readings.
for (const name of ["eth0", "p0"]) ip(`link set ${name} addrgenmode none up`);
ip("address add 10.0.0.5/24 dev eth0");

async function iptables(...argv: string[]): Promise<Outcome> {
	const { context, printed } = captureContext(...argv);
	const programName = "iptables-daddr";
	return { exitCode: await runIptables({ ...context, programName }, systemHost()), ...printed };
}

interface Row {
	/** The command in the documentation's form. */
	readonly command: string;
	readonly nft: readonly CapabilityName[];
	readonly ebpf: readonly CapabilityName[];
	/** Runs the command. Absent: it is tested elsewhere. */
	readonly run?: (datapath: "nft" | "ebpf") => Promise<Outcome>;
	/** The command reads running services. */
	readonly looks?: true;
}

const NET: readonly CapabilityName[] = ["CAP_NET_ADMIN"];
const PROGRAMS: readonly CapabilityName[] = ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"];
const BOTH = { nft: NET, ebpf: PROGRAMS };
const LAB: readonly CapabilityName[] = ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SYS_ADMIN"];
const PACKET = "--from 203.0.113.9 --to 10.0.0.5 --dscp 7 --udp 53 -i eth0".split(" ");
const dsrFolder = join(folder, "dsr.d");
const DSRCTL = ["dsrctl", "-d", dsrFolder];
mkdirSync(dsrFolder);
writeFileSync(join(dsrFolder, "one.conf"), "192.0.2.20=20\n");
const RULE = "-t raw -A PREROUTING -i eth0 -m dscp --dscp 3 -j DADDR --set-daddr 192.0.2.3".split(" ");

const ROWS: readonly Row[] = [
	{ command: "`l3dsr up`", ...BOTH, run: (name) => l3dsr("up", "-c", CONFIG[name]) },
	{ command: "`l3dsr down`", ...BOTH, run: () => l3dsr("down"), looks: true },
	// Under its unit: test/systemd/units.test.ts.
	{ command: "`l3dsr agent`", ...BOTH },
	{ command: "`l3dsr status`", ...BOTH, run: (name) => l3dsr("status", "-c", CONFIG[name]), looks: true },
	{ command: "`l3dsr top`", ...BOTH },
	{ command: "`l3dsr diff`", ...BOTH, run: (name) => l3dsr("diff", "-c", CONFIG[name]), looks: true },
	{ command: "`l3dsr show`", ...BOTH, run: () => l3dsr("show"), looks: true },
	{ command: "`l3dsr trace`", ...BOTH, run: () => l3dsr("trace", ...PACKET), looks: true },
	{ command: "`l3dsr watch`", ...BOTH },
	{ command: "`l3dsr export`", ...BOTH, run: () => l3dsr("export", "iptables-save"), looks: true },
	{ command: "`iptables-daddr`, changing", ...BOTH, run: () => iptables(...RULE) },
	{ command: "`iptables-daddr`, reading", ...BOTH, run: () => iptables("-t", "raw", "-S"), looks: true },
	{ command: "`dsrctl start`, `stop`", ...BOTH, run: () => dsrctl([...DSRCTL, "start"]) },
	{
		command: "`dsrctl status`, `check`",
		...BOTH,
		run: () => dsrctl([...DSRCTL, "status"]),
		looks: true,
	},
	{ command: "`l3dsr lab`", nft: LAB, ebpf: LAB },
];

/** Everything that a command could have changed. */
function traces(): unknown {
	using nftables = new Nftables();
	return {
		tables: nftables.read().tables.map(({ family, name, rules }) => `${family} ${name} ${rules.length}`),
		local: listLocalRoutes().map(({ bytes }) => bytes.join(".")),
		programs: listInterfaces().map((on) => tcxIngress.query(on).map(({ programId }) => programId)),
	};
}

async function clear(): Promise<void> {
	assert.equal((await l3dsr("down")).exitCode, 0);
	assert.equal((await dsrctl([...DSRCTL, "-a", "stop"])).exitCode, 0);
}

for (const row of ROWS) {
	for (const datapath of ["nft", "ebpf"] as const) {
		const { command, run: runRow } = row;
		if (runRow === undefined) continue;
		test(`${command} on ${datapath}: runs with the capabilities of the table, and changes nothing without CAP_NET_ADMIN`, async () => {
			if (row.looks) assert.equal((await l3dsr("up", "-c", CONFIG[datapath])).exitCode, 0);
			const before = traces();
			const left = row[datapath].filter((name) => name !== "CAP_NET_ADMIN");
			const without = await withCapabilities(left, () => runRow(datapath));
			assert.deepEqual([without.exitCode, without.stdout], [1, ""], without.stderr);
			assert.match(without.stderr, /lacks CAP_NET_ADMIN/);
			assert.deepEqual(traces(), before);
			const { exitCode, stderr } = await withCapabilities(row[datapath], () => runRow(datapath));
			assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" });
			await clear();
		});
	}
}

test("without CAP_SYS_ADMIN, auto explains why it uses nft, ebpf is refused, and neither leaves a program", async () => {
	for (const names of [NET, [...NET, "CAP_BPF"], [...NET, "CAP_BPF", "CAP_PERFMON"]] as const) {
		const before = traces();
		const forced = await withCapabilities(names, () => l3dsr("up", "-c", CONFIG.ebpf));
		assert.deepEqual([forced.exitCode, forced.stdout], [1, ""]);
		assert.match(forced.stderr, /^error\[KERNEL_PERMISSION\]: .* lacks CAP_SYS_ADMIN\n(note: .*\n)?hint: /);
		assert.deepEqual(traces(), before);
		await withCapabilities(names, async () => {
			const up = await l3dsr("up", "-c", CONFIG.auto);
			assert.equal(up.exitCode, 0, up.stderr);
			const { exitCode, stdout, stderr } = await l3dsr("status", "-c", CONFIG.auto);
			assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" }, stdout);
			assert.match(stdout, /^datapath: nft \(auto: no eBPF: this process lacks CAP_SYS_ADMIN\)$/m);
			assert.match((await l3dsr("diff", "-c", CONFIG.auto)).stdout, /^no difference/);
			assert.equal((await l3dsr("down")).exitCode, 0);
		});
		assert.deepEqual(traces(), before);
	}
});

test("without access to programs a process changes nothing beside a possible one of ours, unless told that none is", async () => {
	assert.equal((await l3dsr("up", "-c", CONFIG.auto)).exitCode, 0);
	const before = traces();
	for (const command of [["up", "-c", CONFIG.auto], ["down"]]) {
		const { exitCode, stdout, stderr } = await withCapabilities(NET, () => l3dsr(...command));
		assert.deepEqual([exitCode, stdout], [1, ""]);
		assert.match(
			stderr,
			/read program \d+ at tcx ingress of eth0, which may be l3dsr's: this process lacks CAP_SYS_ADMIN\nhint: .*datapath nft/,
		);
		assert.deepEqual(traces(), before);
	}
	const { stdout } = await withCapabilities(NET, () => l3dsr("status", "-c", CONFIG.auto));
	assert.match(stdout, /^warning: program \d+ at tcx ingress of eth0 may be l3dsr's/m);
	const told = await withCapabilities(NET, () => l3dsr("up", "-c", CONFIG.nft));
	assert.equal(told.exitCode, 0);
	assert.match(told.stderr, /^warning: program \d+ at tcx ingress of eth0 may be l3dsr's/);
	await clear();
});

test("a process without access to programs does not call the translation of their answers a remnant", async () => {
	const config = configuration(
		"answers",
		"services: [{ vip: 192.0.2.10, dscp: 7, protocol: tcp, ports: 443, set-port: 8443 }]\n",
	);
	assert.equal((await l3dsr("up", "-c", config)).exitCode, 0);
	assert.match((await l3dsr("diff", "-c", config)).stdout, /^no difference/);
	const { stdout } = await withCapabilities(NET, () => l3dsr("diff", "-c", config));
	assert.match(stdout, /a rule of 192\.0\.2\.10 is missing/);
	assert.doesNotMatch(stdout, /way_back/);
	await clear();
});

test("a director that may not load programs is refused with the missing capability", async () => {
	using stage = new Stage();
	const before = traces();
	const up = await withCapabilities(NET, () => stage.l3dsr("up"));
	assert.deepEqual([up.exitCode, up.stdout], [1, ""]);
	assert.match(up.stderr, /^error\[KERNEL_PERMISSION\]: direct packets: this process lacks CAP_SYS_ADMIN/);
	assert.deepEqual(traces(), before);
	const { stdout } = await withCapabilities(NET, () => stage.l3dsr("status"));
	assert.match(stdout, /l3dsr up will refuse to direct packets: this process lacks CAP_SYS_ADMIN/);
});

test("check validates the file for any user, and names the parts that it has skipped", async () => {
	const { exitCode, stdout } = await withCapabilities([], () => l3dsr("check", "-c", CONFIG.auto));
	assert.equal(exitCode, 0);
	assert.match(stdout, /^skipped: the checks of this host.*lacks CAP_NET_ADMIN/m);
});

test("--netns and lab name the first missing capability", async () => {
	ip("netns add elsewhere");
	const there = await withCapabilities(NET, () => l3dsr("show", "--netns", "elsewhere"));
	assert.match(there.stderr, /--netns elsewhere: this process lacks CAP_SYS_ADMIN/);
	ip("netns del elsewhere");
	for (const dropped of LAB) {
		const left = LAB.filter((name) => name !== dropped);
		const { exitCode, stdout, stderr } = await withCapabilities(left, () => l3dsr("lab"));
		assert.deepEqual([exitCode, stdout], [1, ""]);
		assert.match(stderr, new RegExp(`l3dsr lab: this process lacks ${dropped}`));
	}
});

test("probe needs CAP_NET_RAW only for TCP", async () => {
	const target = ["10.0.0.5", "--vip", "192.0.2.10", "--dscp", "7"];
	const tcp = await withCapabilities([], () => l3dsr("probe", ...target, "--port", "80"));
	assert.deepEqual([tcp.exitCode, tcp.stdout], [1, ""]);
	assert.match(tcp.stderr, /CAP_NET_RAW/);
	const echo = await withCapabilities([], () => l3dsr("probe", ...target, "--icmp", "--timeout", "0.05"));
	assert.doesNotMatch(echo.stderr, /KERNEL_PERMISSION/);
	assert.match(echo.stdout, /^10\.0\.0\.5 /);
});

const UNPRIVILEGED = [
	{
		title: "in a user and network namespace that nobody has made",
		enter: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Urn"],
		first: [],
		why: "this process is in a user namespace",
	},
	{
		title: "for root behind a filter that refuses bpf(2)",
		enter: ["unshare", "-n"],
		first: ["--without-bpf"],
		why: "the kernel does not let this process create maps: EPERM",
	},
];

for (const { title, enter, first, why } of UNPRIVILEGED) {
	test(`${title}, auto runs on nft and explains why, and ebpf is refused`, () => {
		const commands = ["up", "status", "diff"].map((verb) => `${verb} -c ${CONFIG.auto}`);
		const lines = [...first, `up -c ${CONFIG.ebpf}`, ...commands, "down", "show"];
		const script = "packages/l3dsr/test/cli/run-as-root-of-namespace.ts";
		const [program = "", ...words] = [...enter, process.execPath, ...FROM_SOURCE, script, ...lines];
		const outcomes = JSON.parse(run(program, ...words)) as Outcome[]; // printed by that script
		const [forced, up, status, diff, down, show] = outcomes;
		assert.equal(forced?.exitCode, 1);
		assert.match(forced.stderr, /^error\[KERNEL_PERMISSION\]/);
		assert.ok(forced.stderr.includes(why), forced.stderr);
		for (const one of [up, status, diff, down, show]) assert.equal(one?.exitCode, 0, one?.stderr);
		assert.ok(status?.stdout.includes(`\ndatapath: nft (auto: no eBPF: ${why}`), status?.stdout);
		assert.match(show?.stdout ?? "", /^No rules are in place/);
	});
}

test("a user namespace that does not own the network namespace gets an error that says so", () => {
	const script = "packages/l3dsr/test/cli/l3dsr-process.ts";
	assert.throws(
		() => run("unshare", "-Ur", process.execPath, ...FROM_SOURCE, script, "up", "-c", CONFIG.auto),
		/l3dsr up: this process is in a user namespace that does not own the network namespace/,
	);
});

test("only capabilities and user namespace decide what is missing", () => {
	const all = new Set(Object.keys(CAPABILITIES) as CapabilityName[]); // keys of the literal
	const ask = (privilege: Privilege, authority: Partial<Authority>): string => {
		const missing = missingFor(privilege, { capabilities: all, userNamespace: "initial", ...authority });
		return missing === undefined ? "nothing" : describeMissing(missing);
	};
	for (const privilege of Object.keys(REQUIREMENTS) as Privilege[]) {
		assert.equal(ask(privilege, {}), "nothing");
		assert.equal(ask(privilege, { capabilities: undefined }), "nothing");
		const { capabilities } = REQUIREMENTS[privilege];
		assert.equal(
			ask(privilege, { capabilities: new Set() }),
			`this process lacks ${capabilities.join(" and ")}`,
		);
	}
	assert.match(ask("programs", { userNamespace: "owner" }), /in a user namespace/);
	assert.equal(ask("network", { userNamespace: "owner" }), "nothing");
	assert.match(ask("network", { userNamespace: "stranger" }), /does not own the network namespace/);
});

test("docs/reference/capabilities.md has this table, and every command that needs privileges is in it", () => {
	const text = readFileSync("docs/reference/capabilities.md", "utf8");
	const cell = (names: readonly CapabilityName[]) => names.join(", ");
	for (const { command, nft, ebpf } of ROWS) {
		assert.ok(text.includes(`| ${command} | ${cell(nft)} | ${cell(ebpf)} |\n`), command);
	}
	for (const command of Object.keys(PRIVILEGES_OF).filter((one) => one !== "l3dsr check")) {
		assert.ok(
			ROWS.some((row) => row.command === `\`${command}\``),
			command,
		);
	}
});
