/** The programs that exports are meant for accept them; what runs on a host is exported unchanged. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { commandPath } from "../../../../../test/support/commands.ts";
import { enterNetns, ip, run } from "../../../../../test/support/netns.ts";
import type { Rule } from "../../../src/model/rule.ts";
import { openDatapath } from "../../../src/rewrite/host-datapath.ts";
import { NftDatapath } from "../../../src/rewrite/nft/kernel/nft.ts";
import { formatRuleSpec } from "../../../src/syntax/iptables/rule-format.ts";
import { daddrRule } from "../../packets/rules.ts";
import { setRules } from "../../rewrite/set-rules.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-export-"));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
	const path = join(folder, name);
	writeFileSync(path, text);
	return path;
}

const config = file(
	"l3dsr.yaml",
	`services:
  - {vip: 192.0.2.10, dscp: 7}
  - {vip: 192.0.2.11, name: web, dscp: 28, protocol: tcp, ports: [80, 443]}
  - {vip: "2001:db8::10", name: web6, dscp: 9}
  - {vip: 192.0.2.14, name: flat}
`,
);

async function exported(format: string, ...more: readonly string[]): Promise<string> {
	const { exitCode, stdout, stderr } = await l3dsr("export", format, ...more);
	assert.equal(exitCode, 0, stderr);
	return stdout;
}

const specs = (rules: readonly { readonly rule: Rule }[]) =>
	rules.map(({ rule }) => `${rule.family} ${rule.table} ${rule.chain} ${formatRuleSpec(rule)}`);

describe("l3dsr export of a configuration", () => {
	it("nft: nft accepts the script, twice, and the datapath recognises its own rules", async () => {
		const script = file("rules.nft", await exported("nft", "-c", config));
		run("nft", "-f", script);
		run("nft", "-f", script);
		const { rules, findings } = await new NftDatapath().observe();
		assert.deepEqual(findings, []);
		assert.deepEqual(specs(rules), [
			"ipv4 raw PREROUTING -m dscp --dscp 0x07 -m addrtype --dst-type LOCAL -j DADDR --set-daddr 192.0.2.10",
			'ipv4 raw PREROUTING -p tcp -m dscp --dscp 0x1c -m multiport --dports 80,443 -m addrtype --dst-type LOCAL -m comment --comment "l3dsr:web" -j DADDR --set-daddr 192.0.2.11 --icmp-errors --later-fragments',
			'ipv6 raw PREROUTING -m dscp --dscp 0x09 -m addrtype --dst-type LOCAL -m comment --comment "l3dsr:web6" -j DADDR --set-daddr 2001:db8::10',
		]);
		run("nft", "flush", "ruleset");
	});

	it("iptables-save: iptables-restore accepts it, except for the target", async () => {
		for (const [format, restore] of [
			["iptables-save", "iptables-restore"],
			["ip6tables-save", "ip6tables-restore"],
		] as const) {
			const text = await exported(format, "-c", config);
			assert.match(text, /DADDR/);
			// A target that every kernel has, in the only table that accepts it.
			const stubbed = text
				.replace(/-j DADDR --set-daddr \S+/g, "-j MARK --set-mark 1")
				.replace("*raw", "*mangle")
				.replace(/^:OUTPUT.*$/m, "");
			run(restore, "--test", file(`${format}.rules`, stubbed));
		}
	});

	it("iproute2: ip adds the VIPs to lo, twice", async () => {
		const batch = file("vips.batch", await exported("iproute2", "-c", config));
		ip(`-batch ${batch}`);
		ip(`-batch ${batch}`);
		const addresses = ip("-br address show dev lo");
		for (const vip of ["192.0.2.10/32", "192.0.2.11/32", "192.0.2.14/32", "2001:db8::10/128"]) {
			assert.ok(addresses.includes(vip), addresses);
			ip(`address del ${vip} dev lo`);
		}
	});

	it("dsr.conf: dsrctl lists its services", async () => {
		const conf = file("a.conf", await exported("dsr.conf", "-c", config));
		const table = run(commandPath("dsrctl"), "-x", "-f", conf, "status");
		assert.deepEqual(
			table
				.trim()
				.split("\n")
				.map((line) => line.split(/\s+/).slice(0, 5).join(" ")),
			[
				"l3dsr stopped 192.0.2.10 192.0.2.10 7",
				"l3dsr stopped 2001:db8::10 2001:db8::10 9",
				"l2dsr stopped 192.0.2.14 192.0.2.14 --",
			],
		);
	});

	it("yaml, json: the text is the same after it was loaded and exported again", async () => {
		for (const format of ["yaml", "json"]) {
			const text = await exported(format, "-c", config);
			assert.equal(await exported(format, "-c", file(`again.${format}`, text)), text);
		}
	});

	it("nft-director: nft accepts the table of both families", async () => {
		const reals = ["--real", "10.0.0.5", "--real", "10.0.0.6", "--real", "2001:db8:5::5"];
		run("nft", "-c", "-f", file("director.nft", await exported("nft-director", "-c", config, ...reals)));
	});

	it("refuses a director's format without real servers, and an unknown format", async () => {
		const director = await l3dsr("export", "vpp", "-c", config);
		assert.deepEqual([director.exitCode, director.stdout], [2, ""]);
		assert.match(director.stderr, /hint: name them: --real ADDRESS/);
		const unknown = await l3dsr("export", "netscalar", "-c", config);
		assert.equal(unknown.exitCode, 2);
		assert.match(unknown.stderr, /did you mean netscaler\?/);
	});
});

it("l3dsr export of the running host: the rules of every chain, and the services that they stand for", async () => {
	const datapath = openDatapath({ datapath: "nft" });
	const rules = [
		daddrRule("192.0.2.20", { dscp: 5 }),
		daddrRule("192.0.2.21", { dscp: 6, table: "mangle", chain: "FORWARD" }),
	];
	await setRules(datapath, { entries: rules.map((rule, i) => ({ rule, ordinal: i })) });
	const saved = await exported("iptables-save");
	assert.match(saved, /^-A PREROUTING -m dscp --dscp 0x05 -j DADDR --set-daddr 192\.0\.2\.20$/m);
	assert.match(saved, /^-A FORWARD -m dscp --dscp 0x06 -j DADDR --set-daddr 192\.0\.2\.21$/m);
	const { stdout, stderr } = await l3dsr("export", "yaml");
	assert.equal(stdout, "services:\n  - vip: 192.0.2.20\n    dscp: 5\n");
	assert.match(stderr, /^no service: -t mangle -A FORWARD .*: chain FORWARD is not on the path/m);
});

const OLD_FILE = `# Generated by iptables-save v1.4.7 on Thu Mar  1 10:00:00 2012
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT DROP [0:0]
:MINE - [0:0]
[12:720] -A INPUT -m dscp --dscp 0x01 -j DADDR --set-daddr 72.30.38.140
-A INPUT -m tos --tos 0x08/0xfc -j DADDR--set-daddr 98.139.183.24
-A PREROUTING -p tcp -m dscp --dscp 0x0a -m tcp --dport 80 -j DADDR --set-daddr fc00:1000:0:6::10
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A MINE -m dscp --dscp 0x03 -j DADDR --set-daddr 98.139.183.25
-A INPUT -m conntrack --ctstate NEW -m dscp --dscp 4 -j DADDR --set-daddr 98.139.183.26
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -m comment --comment "not -j DADDR" -j RETURN
COMMIT
`;

describe("l3dsr import", () => {
	it("reads the DADDR rules of an old file, repairs missing blanks, and explains what it skipped", async () => {
		const old = file("old.rules", OLD_FILE);
		const { exitCode, stdout, stderr } = await l3dsr("import", old);
		assert.equal(exitCode, 0);
		assert.equal(
			stdout,
			`services:
  - vip: 72.30.38.140
    dscp: 1
  - vip: 98.139.183.24
    dscp: 2
  - vip: "fc00:1000:0:6::10"
    dscp: 10
    protocol: tcp
    ports: 80
`,
		);
		assert.deepEqual(stderr.replaceAll(old, "FILE").trimEnd().split("\n"), [
			"left: FILE:4: :INPUT DROP [0:0]: policy DROP: DADDR rules drop nothing",
			"left: FILE:9: -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT: its target is ACCEPT",
			"left: FILE:10: -A MINE -m dscp --dscp 0x03 -j DADDR --set-daddr 98.139.183.25: chain MINE is one of its own, or not of table mangle",
			"left: FILE:11: -A INPUT -m conntrack --ctstate NEW -m dscp --dscp 4 -j DADDR --set-daddr 98.139.183.26: match `conntrack' is not supported",
			'left: FILE:15: -A PREROUTING -m comment --comment "not -j DADDR" -j RETURN: its target is RETURN',
			"note: FILE: 1 DADDR--set-daddr without the blank, as old versions saved it: corrected",
			"note: FILE: 1 rule would rewrite forwarded packets too; services take only what is for this host's own addresses",
			"3 services taken, 5 lines left",
			"next: save it as /etc/l3dsr/l3dsr.yaml, then l3dsr check, l3dsr diff, l3dsr up",
		]);
	});

	it("prints no empty table for a file without services, and fails", async () => {
		const yaml = file("l3dsr.yaml", "services: [{ vip: 192.0.2.10, dscp: 7 }]\n");
		const { exitCode, stdout, stderr } = await l3dsr("import", yaml);
		assert.equal(exitCode, 1);
		assert.equal(stdout, "");
		assert.match(stderr, /^error\[FILE_READ\]: import .*l3dsr\.yaml: no service was found$/m);
		const foreign = file("foreign.rules", "*raw\n-A PREROUTING -p tcp -j ACCEPT\nCOMMIT\n");
		const rules = await l3dsr("import", foreign, "--to", "iptables-save");
		assert.deepEqual([rules.exitCode, rules.stdout], [1, ""]);
		assert.match(rules.stderr, /: no rule was found$/m);
	});

	it("counts rules that the format leaves out, and no service without rules", async () => {
		const mixed = file("mixed.conf", "192.0.2.30 = 28\n192.0.2.31\n");
		const printed = await l3dsr("import", mixed, "--to", "iptables-save");
		assert.match(printed.stdout, /^-A PREROUTING .* --set-daddr 192\.0\.2\.30$/m);
		assert.match(
			printed.stderr,
			/^left: iptables-save: .*192\.0\.2\.31.*: L2DSR has no rules\n1 rule taken, 1 line left$/m,
		);
		assert.equal(printed.exitCode, 0);
		const flat = await l3dsr("import", file("flat.conf", "192.0.2.31\n"), "--to", "nft");
		assert.deepEqual([flat.exitCode, flat.stdout], [1, ""]);
		assert.match(flat.stderr, /^0 rules taken, 1 line left$/m);
		const ipv6 = await l3dsr("import", file("v6.conf", "2001:db8::30 = 28\n"), "--to", "iptables-save");
		assert.deepEqual([ipv6.exitCode, ipv6.stdout], [0, ""]);
		assert.match(ipv6.stderr, /: it is for ipv6: export ip6tables-save\n0 rules taken, 1 line left$/m);
	});

	it("prints the rules themselves with --to, as iptables-daddr-restore reads them", async () => {
		const { stdout } = await l3dsr("import", file("old.rules", OLD_FILE), "--to", "iptables-save");
		const rules = stdout.split("\n").filter((line) => line.startsWith("-A"));
		assert.deepEqual(rules, [
			"-A INPUT -m dscp --dscp 0x01 -j DADDR --set-daddr 72.30.38.140",
			"-A INPUT -m tos --tos 0x08/0xfc -j DADDR --set-daddr 98.139.183.24",
		]);
	});

	it("as rules, includes those that are not a service, and reports no printed rule as skipped", async () => {
		const saved = `*mangle
-A INPUT -m dscp --dscp 1 -j DADDR --set-daddr 72.30.38.140
-A INPUT -m mark --mark 3 -j DADDR --set-daddr 72.30.38.143
-A INPUT ! -s 10.0.0.0/8 -m dscp --dscp 3 -j DADDR --set-daddr 72.30.38.142
-A FORWARD -m dscp --dscp 2 -j DADDR --set-daddr 72.30.38.141
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
`;
		const rules = file("rules", saved);
		const { exitCode, stdout, stderr } = await l3dsr("import", rules, "--to", "iptables-save");
		assert.equal(stdout.match(/^-A /gm)?.length, 4);
		assert.equal(
			stderr.replaceAll(rules, "FILE"),
			"left: FILE:6: -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT: its target is ACCEPT\n4 rules taken, 1 line left\n",
		);
		assert.equal(exitCode, 0);
		const services = (await l3dsr("import", rules)).stderr;
		assert.match(services, /^left: .*:4: .* a service cannot match ! -s 10\.0\.0\.0\/8$/m);
		assert.match(services, /^left: .*:5: .* chain FORWARD is not on the path/m);
	});

	it("reads a folder of dsr.conf, and reports its faults by line", async () => {
		const conf = mkdtempSync(join(folder, "dsr.d-"));
		writeFileSync(join(conf, "a.conf"), "192.0.2.30 = 0x1c # web\n192.0.2.31\n192.0.2.32=64\n");
		const { exitCode, stdout, stderr } = await l3dsr("import", conf);
		assert.equal(exitCode, 0);
		assert.equal(stdout, "services:\n  - vip: 192.0.2.30\n    dscp: 28\n  - vip: 192.0.2.31\n");
		assert.match(stderr, /a\.conf:3: 192\.0\.2\.32=64: DSCP 64 is out of range/);
	});

	it("does not print binary data", async () => {
		const { exitCode, stdout, stderr } = await l3dsr("import", file("binary", "\u0000\u0001\n"));
		assert.deepEqual([exitCode, stdout], [1, ""]);
		assert.match(stderr, /^error\[FILE_READ\]: read .*binary: it is not text\n$/);
	});

	it("reports two files that need one DSCP for two VIPs, and fails", async () => {
		const first = file("one.conf", "192.0.2.40=3\n");
		const second = file("two.conf", "192.0.2.41=3\n");
		const { exitCode, stderr } = await l3dsr("import", first, second);
		assert.equal(exitCode, 2);
		assert.match(
			stderr,
			/two\.conf:1:1: error\[MODEL_DSCP_CONFLICT\]: DSCP 3 already selects VIP 192\.0\.2\.40/,
		);
	});
});
