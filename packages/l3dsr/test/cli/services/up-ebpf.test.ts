import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { asm, Program, tcxIngress, xdpNative } from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { commandPath } from "../../../../../test/support/commands.ts";
import { enterNetns, ip, Netns, run } from "../../../../../test/support/netns.ts";
import { verdictSpec, XDP_PASS } from "../../../../bpf/test/programs.ts";
import { SYSTEM_HOST } from "../../../src/cli/services/host.ts";
import { up } from "../../../src/cli/up.ts";
import { captureContext, l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-up-ebpf-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const SERVICES = `services:
  - { vip: 192.0.2.10, name: web, dscp: 7 }
  - { vip: "2001:db8::10", name: web6, dscp: 7 }
`;

async function succeed(...argv: string[]): Promise<string> {
	const { exitCode, stdout, stderr } = await l3dsr(...argv);
	assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" });
	return stdout;
}

async function drift(): Promise<string> {
	const { exitCode, stdout } = await l3dsr("diff", "-c", config);
	assert.equal(exitCode, 4, stdout);
	return stdout;
}

test("services run on eBPF at the interfaces with the host's addresses, and follow their changes", async () => {
	using peer = new Netns("peer");
	ip(`link add eth0 type veth peer name eth0 netns ${peer.name}`);
	ip("addr add 10.0.0.2/24 dev eth0");
	ip("addr add fd00::2/64 dev eth0 nodad");
	ip("link set eth0 up");
	peer.ip("link set eth0 up");
	peer.ip("addr add 10.0.0.1/24 dev eth0");
	peer.ip("addr add fd00::1/64 dev eth0 nodad");
	writeFileSync(config, SERVICES);

	assert.match(await succeed("up", "-c", config), /-i eth0 /);
	assert.match(
		(await l3dsr("status", "-c", config)).stdout,
		/^datapath: ebpf at tcx of eth0 \(auto: its interface eth0 is known\)$/m,
	);
	const packets = async (): Promise<number[]> =>
		JSON.parse(await succeed("status", "--json", "-c", config)).services.map(
			(row: { packets: number }) => row.packets,
		);
	// The answer comes from the VIP, which ping does not accept; the counters show the packet.
	const send = (target: string) => {
		try {
			peer.run("ping", "-c1", "-W1", "-Q", "0x1c", target);
		} catch {
			// no answer from the pinged address
		}
	};
	send("10.0.0.2");
	send("fd00::2");
	assert.deepEqual(await packets(), [1, 1]);

	// The program is detached; another one beside it stays, whatever happens to ours.
	const eth0 = interfaceByName("eth0");
	for (const element of tcxIngress.query(eth0)) tcxIngress.detach(eth0, element);
	using foreign = Program.load({
		name: "foreign",
		type: "BPF_PROG_TYPE_SCHED_CLS",
		license: "GPL",
		instructions: [asm.mov.imm(0, -1), asm.exit()],
		maps: [],
	});
	tcxIngress.attach(eth0, foreign);
	const others = () => tcxIngress.query(eth0).filter(({ programId }) => programId === foreign.info.id);
	assert.match(await drift(), /a rule of web is missing\na rule of web6 is missing/);
	await succeed("up", "-c", config);
	assert.match(await succeed("diff", "-c", config), /^no difference/);

	// The host gets another address, which the program must know.
	ip("addr add 10.0.0.3/24 dev eth0");
	const said = await drift();
	assert.match(said, /program at tcx ingress of eth0 was created when this host had other addresses/);
	assert.match(said, /possible cause: the addresses of this host have changed/);
	await succeed("up", "-c", config);
	const before = await packets();
	send("10.0.0.3");
	assert.equal((await packets())[0], (before[0] ?? 0) + 1);

	// A new interface is served as soon as it has an address.
	ip("link add eth1 type veth peer name p1");
	ip("link set eth1 up");
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	ip("addr add 10.1.0.2/24 dev eth1");
	assert.match(await succeed("up", "-c", config), /-A PREROUTING -i eth1 .*"l3dsr:web"/);
	assert.match(await succeed("check", "--json", "-c", config), /"findings"/);

	// By configuration to the other datapath and back.
	writeFileSync(config, `datapath: nft\n${SERVICES}`);
	await succeed("up", "-c", config);
	assert.match(await succeed("status", "-c", config), /^datapath: nft \(as configured\)$/m);
	assert.deepEqual(tcxIngress.query(eth0), others());
	writeFileSync(config, `interfaces: [eth0]\n${SERVICES}`);
	await succeed("up", "-c", config);
	assert.equal(tcxIngress.query(eth0).length, 2);
	await succeed("down");
	assert.deepEqual(tcxIngress.query(eth0), others());
	assert.equal(others().length, 1);
	assert.equal(ip("-o addr show to 192.0.2.0/24"), "");
});

test("addresses that are added during up are included, and do not make it fail", async () => {
	ip("link add eth3 type veth peer name p3");
	ip("addr add 10.3.0.2/24 dev eth3");
	ip("link set eth3 up");
	ip("link set p3 up");
	writeFileSync(config, `interfaces: [eth3]\n${SERVICES}`);
	const { context, printed } = captureContext("up");
	const host = SYSTEM_HOST;
	let coming = 3;
	// As DHCP may do: another address after each change of the rules.
	const openDatapath: typeof host.openDatapath = async (wanted) => {
		const real = await host.openDatapath(wanted);
		return {
			async observe() {
				const snapshot = await real.observe();
				return {
					...snapshot,
					async change(assignment) {
						await snapshot.change(assignment);
						if (coming-- > 0) ip(`addr add 10.3.1.${coming + 1}/24 dev eth3`);
					},
				};
			},
		};
	};
	assert.equal(await up(context, { ...host, openDatapath }, { config, wait: 1 }), 0, printed.stderr);
	assert.equal(coming, -1);
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	await succeed("down");
	ip("link del eth3");
});

test("the configuration sets the hook: programs move to it, and other commands leave them there", async () => {
	ip("link add eth2 type veth peer name p2");
	ip("addr add 10.2.0.2/24 dev eth2");
	ip("link set eth2 up");
	ip("link set p2 up");
	const eth2 = interfaceByName("eth2");
	const hooks = () => [xdpNative.query(eth2).length, tcxIngress.query(eth2).length];
	const file = (hook: string) => `interfaces: [eth2]\nhook: ${hook}\nopen-checksums: accept\n${SERVICES}`;
	writeFileSync(config, file("xdp"));
	await succeed("up", "-c", config);
	assert.deepEqual(hooks(), [1, 0]);
	const rule = "-A PREROUTING -i eth2 -m dscp --dscp 9 -j DADDR --set-daddr 192.0.2.19";
	run(commandPath("iptables-daddr"), ...rule.split(" "));
	assert.deepEqual(hooks(), [1, 0]);
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	writeFileSync(config, file("tc"));
	assert.match(await drift(), /program at XDP of eth2 is attached to a different hook than tc/);
	await succeed("up", "-c", config);
	assert.deepEqual(hooks(), [0, 1]);
	await succeed("down");
	assert.match(run(commandPath("iptables-daddr"), "-S", "PREROUTING"), /0x09/);
	run(commandPath("iptables-daddr"), "-F", "PREROUTING");
});

test("a foreign program at XDP is named and kept; the rules stay at tc, where they were", async () => {
	ip("link add eth3 type veth peer name p3");
	ip("addr add 10.3.0.2/24 dev eth3");
	ip("link set eth3 up");
	ip("link set p3 up");
	const eth3 = interfaceByName("eth3");
	const ids = () => [xdpNative, tcxIngress].map((hook) => hook.query(eth3).map(({ programId }) => programId));
	const file = (hook: string, setPort = "") =>
		`interfaces: [eth3]\nhook: ${hook}\nopen-checksums: accept\n${SERVICES}` +
		`  - { vip: 192.0.2.11, dscp: 8, protocol: tcp, ports: 443${setPort} }\n`;
	writeFileSync(config, file("tc"));
	await succeed("up", "-c", config);
	using foreign = Program.load(verdictSpec("xdp", XDP_PASS, "foreign"));
	xdpNative.attach(eth3, foreign);
	const before = ids();
	writeFileSync(config, file("xdp", ", set-port: 8443"));
	const { exitCode, stderr } = await l3dsr("up", "-c", config);
	assert.deepEqual(
		{ exitCode, stderr },
		{
			exitCode: 1,
			stderr:
				`error[KERNEL_SYSCALL]: attach the rules of eth3 to XDP: program foreign (id ${foreign.info.id}) ` +
				"is at XDP, and an interface has one XDP program\n" +
				"note: nothing had been changed\n" +
				"hint: use hook: tc, or remove that program (ip link set dev NAME xdp off)\n",
		},
	);
	assert.deepEqual(ids(), before);
	assert.deepEqual(nftChains(), []);

	// With a new VIP in the same change: the undo takes it from lo again, and the program at tc is right without it.
	writeFileSync(config, `${file("xdp")}  - { vip: 192.0.2.12, dscp: 9 }\n`);
	const failed = await l3dsr("up", "-c", config);
	assert.equal(failed.exitCode, 1);
	assert.deepEqual(failed.stderr.match(/^note: .*$/gm), [
		"note: undone: ip address del 192.0.2.12/32 dev lo",
		"note: undone: nft table arp l3dsr: suppress ARP for 192.0.2.10, 192.0.2.11, 2001:db8::10",
	]);
	assert.deepEqual(ids(), before);
	writeFileSync(config, file("tc"));
	assert.match(await succeed("diff", "-c", config), /^no difference/);

	writeFileSync(config, file("xdp"));
	assert.match(await drift(), /program at tcx ingress of eth3 is attached to a different hook than xdp/);
	writeFileSync(config, file("tc"));
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	await succeed("down");
	assert.deepEqual(ids(), [[foreign.info.id], []]);
});

test("a deleted interface loses its rules, which every command reports; once it is back, up restores them", async () => {
	const add = () => {
		ip("link add eth4 type veth peer name p4");
		ip("link set eth4 up");
		ip("link set p4 up");
	};
	add();
	writeFileSync(config, `interfaces: [eth4]\ndatapath: ebpf\n${SERVICES}`);
	await succeed("up", "-c", config);
	const daddr = commandPath("iptables-daddr");
	run(daddr, ..."-A PREROUTING -i eth4 -m dscp --dscp 9 -j DADDR --set-daddr 192.0.2.19".split(" "));
	const shown = () => ["-S", "-vL"].map((option) => /eth4/.test(run(daddr, option, "PREROUTING")));
	assert.deepEqual(shown(), [true, true]);
	ip("link delete eth4");
	assert.deepEqual(shown(), [false, false]);
	assert.match(
		(await l3dsr("status", "-c", config)).stdout,
		/ partial .*\n(.*\n)*datapath: none \(as configured: there is no interface eth4 now\)\n(.*\n)*drift: a rule of web is missing/,
	);
	assert.match(await drift(), /a rule of web is missing\na rule of web6 is missing/);
	const refused = await l3dsr("up", "-c", config);
	assert.equal(refused.exitCode, 3);
	assert.match(
		refused.stderr,
		/on datapath ebpf: there is no interface eth4 now\nhint: set datapath: auto or nft/,
	);
	add();
	assert.match(
		await drift(),
		/a rule of web is missing\na rule of web6 is missing\npossible cause: an interface that was deleted and created again has no eBPF program/,
	);
	await succeed("up", "-c", config);
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	assert.match(await succeed("status", "-c", config), /^datapath: ebpf at tcx of eth4 \(as configured\)$/m);
	await succeed("down");
});

/** The objects of l3dsr in nf_tables for IPv4, by chains. */
function nftChains(): string[] {
	const { nftables } = JSON.parse(run("nft", "-j", "list", "ruleset"));
	return nftables.flatMap(({ chain }: { chain?: { family: string; table: string; name: string } }) =>
		chain?.family === "ip" && chain.table === "l3dsr" ? [chain.name] : [],
	);
}

test("set-port on eBPF: nft has only the translation of answers, every command knows it, and up repairs it", async () => {
	ip("link add eth5 type veth peer name p5");
	ip("link set eth5 up");
	const file = (more: string, setPort = ", set-port: 8443") =>
		writeFileSync(
			config,
			`interfaces: eth5\n${more}services:
  - { vip: 192.0.2.10, name: web, dscp: 7 }
  - { vip: 192.0.2.11, name: tls, dscp: 8, protocol: tcp, ports: 443${setPort} }\n`,
		);
	file("datapath: ebpf\n");
	await succeed("up", "-c", config);
	assert.deepEqual(nftChains(), ["way_back"]);
	assert.match(
		run("nft", "list", "chain", "ip", "l3dsr", "way_back"),
		/ip saddr 192\.0\.2\.11 .*tcp sport 8443 .*tcp sport set 443 accept/,
	);
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	const status = /^datapath: ebpf at tcx of eth5, answers of set-port by nft \(as configured\)$/m;
	assert.match(await succeed("status", "-c", config), status);
	assert.match((await l3dsr("show")).stdout, /^ebpf .*"l3dsr:tls"/m);

	// Like a reload of nftables.service; the guard is flushed too.
	run("nft", "flush", "ruleset");
	const flushed = await drift();
	assert.match(
		flushed,
		/table ip l3dsr is missing: answers of services with set-port leave from the wrong port/,
	);
	assert.match(flushed, /possible cause: nft flush ruleset /);
	assert.doesNotMatch(flushed, /a script: nft,/);
	assert.equal((await l3dsr("status", "-c", config)).exitCode, 4);
	assert.match((await l3dsr("check", "-c", config)).stdout, /table ip l3dsr is missing/);
	await succeed("up", "-c", config);
	assert.deepEqual(nftChains(), ["way_back"]);

	// Deletes a rule, and adds one.
	run("nft", "flush chain ip l3dsr way_back; add rule ip l3dsr way_back tcp sport 1 tcp sport set 2");
	const altered = await drift();
	assert.match(altered, /chain way_back lacks its rule "ip saddr 192\.0\.2\.11 /);
	assert.match(altered, /chain way_back, handle \d+ translates answers that belong to no rule of l3dsr/);
	assert.match(altered, /possible cause: a manual command or a script: nft,/);
	await succeed("up", "-c", config);
	assert.match(await succeed("diff", "-c", config), /^no difference/);

	// The programs are deleted with the interface: the translation of their answers is no longer needed.
	ip("link delete eth5");
	ip("link add eth5 type veth peer name p5");
	ip("link set eth5 up");
	const gone = await drift();
	assert.match(gone, /chain way_back no rule of l3dsr accounts for it/);
	assert.match(gone, /possible cause: an interface that was deleted and /);
	await succeed("up", "-c", config);
	assert.match(await succeed("diff", "-c", config), /^no difference/);

	// To nft and back, and to no set-port at all.
	for (const datapath of ["nft", "auto"]) {
		file(`datapath: ${datapath}\n`);
		await succeed("up", "-c", config);
		assert.equal(nftChains().includes("way_back"), true);
		assert.equal(nftChains().length > 1, datapath === "nft");
		assert.match(await succeed("diff", "-c", config), /^no difference/);
	}
	file("", "");
	await succeed("up", "-c", config);
	assert.deepEqual(nftChains(), []);
	file("");
	await succeed("up", "-c", config);
	assert.deepEqual(nftChains(), ["way_back"]);
	await succeed("down");
	assert.deepEqual(nftChains(), []);
	ip("link delete eth5");
});

test("export of the running host leaves the interfaces that auto has chosen to the host that reads it", async () => {
	writeFileSync(
		config,
		"services: [{ vip: 192.0.2.10, dscp: 7 }, { vip: 192.0.2.11, dscp: 8, interface: eth9 }, { vip: 192.0.2.12 }]\n",
	);
	assert.equal((await l3dsr("up", "-c", config)).exitCode, 0);
	const conf = await l3dsr("export", "dsr.conf");
	assert.match(conf.stdout, /^192\.0\.2\.10=7\n192\.0\.2\.12\n$/m);
	assert.match(conf.stderr, /192\.0\.2\.11: dsr\.conf cannot express interfaces/);
	const yaml = (await l3dsr("export", "yaml")).stdout;
	assert.equal(
		yaml,
		"services:\n  - vip: 192.0.2.10\n    dscp: 7\n  - vip: 192.0.2.11\n    dscp: 8\n    interface: eth9\n  - vip: 192.0.2.12\n",
	);
	// Its output describes the same host.
	writeFileSync(config, yaml);
	assert.match((await l3dsr("up", "-c", config)).stdout, /^nothing to do/);
	assert.equal((await l3dsr("down")).exitCode, 0);
});

test("--netns works in another namespace, and lists the existing ones if the name is unknown", async () => {
	const { exitCode, stderr } = await l3dsr("status", "--netns", "nowhere");
	assert.equal(exitCode, 2);
	assert.match(stderr, /there is no network namespace nowhere/);

	using other = new Netns("other");
	writeFileSync(config, "datapath: nft\nservices: [{ vip: 192.0.2.10, dscp: 7 }]\n");
	const command = commandPath("l3dsr");
	assert.match(run(command, "up", "-c", config, "--netns", other.name), /^ip address add 192\.0\.2\.10/m);
	assert.match(other.ip("-o addr show dev lo"), /192\.0\.2\.10\/32/);
	assert.equal(ip("-o addr show to 192.0.2.0/24"), "", "nothing here");
	other.ip("addr del 192.0.2.10/32 dev lo");
	const { status } = spawnSync(command, ["diff", `--netns=${other.name}`, "-c", config]);
	assert.equal(status, 4);
});
