/**
 * What `up` adds to a host with its own routes: VIPs that are never source addresses, and interfaces by any
 * of their names.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { lookUpRoute } from "@l3dsr/linux";
import { addressFromBytes, parseAddress } from "@l3dsr/packet";
import { enterNetns, ip, Netns, run } from "../../../../../test/support/netns.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-addresses-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");

ip("link add eth0 type veth peer name p0");
ip("link property add dev eth0 altname uplink");
for (const name of ["eth0", "p0"]) ip(`link set ${name} up`);
ip("address add 10.0.0.5/24 dev eth0");

async function succeed(...argv: string[]): Promise<string> {
	const { exitCode, stdout, stderr } = await l3dsr(...argv);
	assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" });
	return stdout;
}

test("an IPv6 VIP is never the host's own source, even if the only other address is on lo", async () => {
	ip("address add 2001:db8:1::5/128 dev lo nodad");
	ip("-6 route add default dev eth0");
	writeFileSync(config, 'services: [{ vip: "2001:db8:2::10", dscp: 7 }]\n');
	const destination = parseAddress("2001:db8:2::99")?.bytes ?? [];
	// Closer to the destination than the other address: without a lifetime of 0 it would be chosen.
	await succeed("up", "-c", config);
	assert.match(ip("-6 address show dev lo"), /2001:db8:2::10\/128 scope global .*deprecated/);
	const { source } = lookUpRoute({ destination });
	assert.equal(source === undefined ? "" : addressFromBytes(source).text, "2001:db8:1::5");
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	await succeed("down");
	assert.doesNotMatch(ip("-6 address show dev lo"), /2001:db8:2::10/);
});

test("addresses that were on lo before up keep their label, prefix and order, even after down", async () => {
	ip("address add 192.0.2.10/32 dev lo");
	ip("address add 192.0.2.11/31 dev lo label lo:old");
	ip("address add 2001:db8:2::10/128 dev lo");
	const before = ip("address show dev lo scope global");
	writeFileSync(
		config,
		'services: [{ vip: [192.0.2.10, "2001:db8:2::10"], dscp: 7 }, { vip: 192.0.2.11, dscp: 8 }, { vip: 192.0.2.12, dscp: 9 }]\n',
	);
	const up = await succeed("up", "-c", config);
	assert.deepEqual(up.match(/^ip address .*$/gm), ["ip address add 192.0.2.12/32 dev lo label lo:1"]);
	assert.match(await succeed("status", "-c", config), /^datapath: /m);
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	assert.match(
		(await l3dsr("check", "-c", config)).stdout,
		/^warning\[vip-on-loopback\]: 192\.0\.2\.11 is on lo as 192\.0\.2\.11\/31, so this host treats every address of that prefix as its own$/m,
	);
	// A removed service leaves an address that was there before; an address added by up is deleted.
	writeFileSync(config, "services: [{ vip: 192.0.2.10, dscp: 7 }]\n");
	assert.match(
		await succeed("up", "-c", config),
		/^192\.0\.2\.11 stays on lo, where it was before l3dsr up$/m,
	);
	assert.match(await succeed("down"), /^192\.0\.2\.10 stays on lo, where it was before l3dsr up$/m);
	assert.equal(ip("address show dev lo scope global"), before);
	for (const one of ["192.0.2.10/32", "192.0.2.11/31", "2001:db8:2::10/128"]) ip(`address del ${one} dev lo`);
});

test("down deletes the addresses that up has added to lo, even after nft flush ruleset", async () => {
	writeFileSync(config, 'services: [{ vip: [192.0.2.10, "2001:db8:2::10"], dscp: 7 }]\n');
	await succeed("up", "-c", config);
	run("nft", "flush ruleset");
	await succeed("down");
	assert.doesNotMatch(ip("address show dev lo"), /192\.0\.2|2001:db8:2:/);
	await succeed("up", "-c", config);
	run("nft", "flush ruleset");
	await succeed("up", "-c", config);
	await succeed("down");
	assert.doesNotMatch(ip("address show dev lo"), /192\.0\.2|2001:db8:2:/);
});

test("an interface may have an alternative name, for all services and for one", async () => {
	for (const text of [
		"interfaces: uplink\nservices: [{ vip: 192.0.2.10, dscp: 7 }]\n",
		"services: [{ vip: 192.0.2.10, dscp: 7, interface: uplink }]\n",
	]) {
		writeFileSync(config, text);
		assert.match(await succeed("up", "-c", config), /-A PREROUTING -i eth0 /);
		assert.match(await succeed("diff", "-c", config), /^no difference/);
		assert.doesNotMatch(await succeed("check", "-c", config), /does not have/);
		await succeed("down");
	}
});

for (const datapath of ["ebpf", "nft"]) {
	test(`a container network that is added and removed makes no difference to ${datapath}`, async () => {
		writeFileSync(
			config,
			`interfaces: eth0\ndatapath: ${datapath}\nservices: [{ vip: 192.0.2.10, dscp: 7 }]\n`,
		);
		await succeed("up", "-c", config);
		ip("link add docker0 type bridge");
		ip("link set docker0 up");
		ip("address add 172.17.0.1/16 dev docker0");
		assert.match(await succeed("diff", "-c", config), /^no difference/);
		assert.match(await succeed("up", "-c", config), /^nothing to do/);
		// The guard uses another address of eth0: that is a difference.
		ip("address flush dev eth0");
		ip("address add 10.0.0.6/24 dev eth0");
		assert.equal((await l3dsr("diff", "-c", config)).exitCode, 4);
		await succeed("up", "-c", config);
		ip("link del docker0");
		await succeed("down");
		ip("address del 10.0.0.6/24 dev eth0");
		ip("address add 10.0.0.5/24 dev eth0");
	});
}

for (const datapath of ["auto", "ebpf", "nft"]) {
	test(`without interfaces, a bridge that is added and removed makes no difference to ${datapath}`, async () => {
		writeFileSync(config, `datapath: ${datapath}\nservices: [{ vip: 192.0.2.10, dscp: 7 }]\n`);
		await succeed("up", "-c", config);
		ip("link add docker0 type bridge");
		ip("link set docker0 up");
		ip("address add 172.17.0.1/16 dev docker0");
		assert.match(await succeed("diff", "-c", config), /^no difference/);
		assert.match(await succeed("status", "-c", config), / {2}up {2}/);
		ip("link del docker0");
		assert.match(await succeed("diff", "-c", config), /^no difference/);
		await succeed("down");
	});
}

test("with interfaces, a removed bridge makes no difference to ebpf, though up has seen it", async () => {
	writeFileSync(config, "interfaces: eth0\ndatapath: ebpf\nservices: [{ vip: 192.0.2.10, dscp: 7 }]\n");
	ip("link add docker0 type bridge");
	ip("link set docker0 up");
	ip("address add 172.17.0.1/16 dev docker0");
	await succeed("up", "-c", config);
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	ip("link del docker0");
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	await succeed("down");
});

test("a bridge above the named interface holds the address to which packets arrive", async () => {
	using peer = new Netns("peer");
	ip(`link add eth6 type veth peer name p6 netns ${peer.name}`);
	ip("link add br6 type bridge");
	ip("link set eth6 up master br6");
	ip("link set br6 up");
	ip("address add 10.6.0.2/24 dev br6");
	peer.ip("address add 10.6.0.1/24 dev p6");
	peer.ip("link set p6 up");
	writeFileSync(config, "interfaces: eth6\ndatapath: ebpf\nservices: [{ vip: 192.0.2.10, dscp: 7 }]\n");
	await succeed("up", "-c", config);
	peer.run("sh", "-c", `ping -c 1 -W 1 -Q ${7 << 2} 10.6.0.2 || true`);
	const [row] = JSON.parse(await succeed("status", "-c", config, "--json")).services;
	assert.equal(row.packets, 1);
	// An address added to the bridge itself makes a difference.
	ip("address add 10.6.0.3/24 dev br6");
	assert.equal((await l3dsr("diff", "-c", config)).exitCode, 4);
	await succeed("up", "-c", config);
	await succeed("down");
	ip("link del br6");
	ip("link del eth6");
});

test("a bridge that takes over the address of a served interface is served", async () => {
	writeFileSync(config, "services: [{ vip: 192.0.2.10, dscp: 7 }]\n");
	await succeed("up", "-c", config);
	ip("link add br0 type bridge");
	ip("link set br0 up");
	ip("address del 10.0.0.5/24 dev eth0");
	ip("link set eth0 master br0");
	ip("address add 10.0.0.5/24 dev br0");
	assert.equal((await l3dsr("status", "-c", config)).exitCode, 1);
	assert.match(await succeed("up", "-c", config), /-A PREROUTING -i br0 /);
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	ip("link del br0");
	ip("address add 10.0.0.5/24 dev eth0");
	await succeed("down");
});

test("an alternative name may have up to 127 characters, and an unknown one is refused", async () => {
	const long = `uplink-${"x".repeat(120)}`;
	ip(`link property add dev eth0 altname ${long}`);
	writeFileSync(config, `interfaces: ${long}\nservices: [{ vip: 192.0.2.10, dscp: 7 }]\n`);
	assert.match(await succeed("up", "-c", config), /-A PREROUTING -i eth0 /);
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	ip(`link property del dev eth0 altname ${long}`);
	const { exitCode, stderr } = await l3dsr("up", "-c", config);
	assert.equal(exitCode, 2);
	assert.match(stderr, /no interface of this host has this alternative name/);
	await succeed("down");
});

for (const datapath of ["auto", "nft"]) {
	test(`with ${datapath}, up refuses to replace working rules by rules for a missing interface`, async () => {
		const services = `datapath: ${datapath}\nservices: [{ vip: 192.0.2.10, dscp: 7 }]\n`;
		const absent = /warning: the configuration names interface eht0, which this host does not have/;
		writeFileSync(config, `interfaces: eth0\n${services}`);
		await succeed("up", "-c", config);
		const running = await succeed("show");
		for (const names of ["eht0", "[eht0, eth9]"]) {
			writeFileSync(config, `interfaces: ${names}\n${services}`);
			const refused = await l3dsr("up", "-c", config);
			assert.equal(refused.exitCode, 2);
			assert.match(refused.stderr, /refused to replace the working rules of 192\.0\.2\.10/);
			assert.equal(await succeed("show"), running);
			const { stdout } = await l3dsr("status", "-c", config);
			assert.match(stdout, absent);
			assert.match(stdout, /l3dsr up will refuse to replace the working rules/);
			assert.match(
				(await l3dsr("check", "-c", config)).stdout,
				/names interface eht0, which this host does not have/,
			);
		}
		// This also applies to a service's own interface.
		writeFileSync(config, "services: [{ vip: 192.0.2.10, dscp: 7, interface: eht0 }]\n");
		assert.equal((await l3dsr("up", "-c", config)).exitCode, 2);
		await succeed("down");
		// As at boot: nothing works yet, and the rules wait for their interface.
		writeFileSync(config, `interfaces: eht0\n${services}`);
		const waiting = await l3dsr("up", "-c", config);
		assert.equal(waiting.exitCode, 0);
		assert.match(waiting.stderr, absent);
		ip("link add eht0 type veth peer name p1");
		ip("link set eht0 up");
		assert.equal((await l3dsr("up", "-c", config)).stderr, "");
		ip("link del eht0");
		await succeed("down");
	});
}

test("with hook xdp, nft serves a bridge, and one that appears later does not break the next up", async () => {
	writeFileSync(config, "hook: xdp\nopen-checksums: accept\nservices: [{ vip: 192.0.2.10, dscp: 7 }]\n");
	await succeed("up", "-c", config);
	ip("link add docker0 type bridge");
	ip("link set docker0 up");
	ip("address add 172.17.0.1/16 dev docker0");
	// A container network that appears later makes no difference; one that is there from the start is served
	// too.
	assert.match(await succeed("up", "-c", config), /^nothing to do/);
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	await succeed("down");
	assert.match(await succeed("up", "-c", config), /-A PREROUTING -i docker0 /);
	assert.match(await succeed("diff", "-c", config), /^no difference/);
	assert.match(
		await succeed("status", "-c", config),
		/datapath: ebpf at xdp of eth0; nft .*docker0 is a bridge, which does not support native XDP/,
	);
	await succeed("down");
	// If forced, it is refused completely, and check reports that before.
	writeFileSync(
		config,
		"datapath: ebpf\nhook: xdp\nopen-checksums: accept\nservices: [{ vip: 192.0.2.10, dscp: 7 }]\n",
	);
	const checked = await l3dsr("check", "-c", config);
	assert.equal(checked.exitCode, 1);
	assert.match(checked.stdout, /docker0 is a bridge, which does not support native XDP/);
	const { exitCode, stdout } = await l3dsr("up", "-c", config);
	assert.deepEqual({ exitCode, stdout }, { exitCode: 3, stdout: "" });
	ip("link del docker0");
});

for (const name of ["bré", "a+", "+", "a\\b", 'a"b', "a'b", "-i", "!", "*"]) {
	test(`an interface called ${name} does not prevent the others from being served`, async () => {
		writeFileSync(config, "services: [{ vip: 192.0.2.10, dscp: 7 }]\n");
		addBridge(name);
		assert.match(await succeed("up", "-c", config), /-A PREROUTING -i eth0 /);
		assert.match(await succeed("diff", "-c", config), /^no difference/);
		const { stdout } = await l3dsr("check", "-c", config);
		if (name !== "*") assert.match(stdout, /and no rule of a service.*a rule cannot contain this name/s);
		await succeed("down");
		removeBridge(name);
	});
}

function addBridge(name: string): void {
	run("ip", "link", "add", "name", name, "type", "bridge");
	run("ip", "link", "set", "dev", name, "up");
	run("ip", "address", "add", "172.18.0.1/24", "dev", name);
}

function removeBridge(name: string): void {
	run("ip", "link", "del", "dev", name);
}
