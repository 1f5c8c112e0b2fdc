/** A real server that takes its services from the fleet's table. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { enterNetns, ip } from "../../../../../test/support/netns.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-fleet-"));
const config = join(folder, "l3dsr.yaml");
const write = (name: string, text: string) => writeFileSync(join(folder, name), text);

const FLEET = `
vips:
  - { name: web, addresses: [192.0.2.10, "2001:db8::10"], dscp: 7, services: [{ port: 80, protocol: tcp, pool: front }] }
  - { name: dns, addresses: 192.0.2.11, dscp: 8, services: [{ port: 53, protocol: udp, pool: names }] }
pools:
  front: { reals: [{ name: a, addresses: [10.0.0.1, "2001:db8:1::1"] }, { name: b, addresses: [10.0.0.2, "2001:db8:1::2"] }] }
  names: { reals: [{ name: b, addresses: 10.0.0.2 }] }
`;

before(() => {
	ip("link add eth0 type veth peer name far0");
	ip("link set eth0 up");
	ip("address add 10.0.0.1/24 dev eth0");
	ip("address add 2001:db8:1::1/64 dev eth0 nodad");
	write("fleet.yaml", FLEET);
	write("l3dsr.yaml", "fleet: fleet.yaml\ninterfaces: eth0\n");
});
after(() => rmSync(folder, { recursive: true }));

const up = () => l3dsr("up", "-c", config);
const vips = () => ip("-o address show dev lo").match(/(192\.0\.2\.\d+|2001:db8::\w+)/g);

test("up makes the host serve exactly the VIPs whose pools list one of its addresses", async () => {
	const done = await up();
	assert.equal(done.exitCode, 0, done.stderr);
	assert.deepEqual(vips(), ["192.0.2.10", "2001:db8::10"]);
	assert.match((await l3dsr("status", "-c", config)).stdout, /^web +l3dsr +192\.0\.2\.10 +DSCP 7/m);
	assert.equal((await l3dsr("diff", "-c", config)).exitCode, 0);
});

test("a changed fleet is applied, beside services of the host's own", async () => {
	write(
		"fleet.yaml",
		FLEET.replace("names: { reals: [", "names: { reals: [{ name: a, addresses: 10.0.0.1 }, "),
	);
	write("l3dsr.yaml", "fleet: fleet.yaml\ninterfaces: eth0\nservices: [{ vip: 192.0.2.12, dscp: 9 }]\n");
	assert.equal((await up()).exitCode, 0);
	assert.deepEqual(vips()?.sort(), ["192.0.2.10", "192.0.2.11", "192.0.2.12", "2001:db8::10"]);
});

test("a service of the host's own that conflicts with the fleet is refused with both places", async () => {
	write("l3dsr.yaml", "fleet: fleet.yaml\ninterfaces: eth0\nservices: [{ vip: 192.0.2.12, dscp: 7 }]\n");
	const { exitCode, stderr } = await up();
	assert.equal(exitCode, 2);
	assert.match(
		stderr,
		/l3dsr\.yaml:1:8: error\[MODEL_DSCP_CONFLICT\]: DSCP 7 already selects VIP 192\.0\.2\.12/,
	);
	assert.match(stderr, /note: first used at .*l3dsr\.yaml:3:\d+/);
});

test("a fleet that does not list this host does not take it out of service", async () => {
	const before = vips();
	write("fleet.yaml", FLEET.replaceAll("10.0.0.1", "10.0.9.1").replaceAll("2001:db8:1::1", "2001:db8:9::1"));
	write("l3dsr.yaml", "fleet: fleet.yaml\ninterfaces: eth0\n");
	const { exitCode, stderr } = await up();
	assert.equal(exitCode, 2);
	assert.match(
		stderr,
		/l3dsr\.yaml:1:8: error\[CONFIG_MISSING\]: no pool of .*fleet\.yaml lists an address of this host/,
	);
	assert.match(stderr, /hint: check the addresses .* or add `services: \[\]`/);
	assert.deepEqual(vips(), before);
});

test("faults in the fleet's file are reported there, and a missing file where it is named", async () => {
	write("fleet.yaml", "vips: [{ name: web, addresses: 192.0.2.10, dscp: 64 }]\n");
	assert.match((await up()).stderr, /fleet\.yaml:1:50: error\[CONFIG_DSCP_RANGE\]: DSCP 64/);
	rmSync(join(folder, "fleet.yaml"));
	assert.match(
		(await up()).stderr,
		/l3dsr\.yaml:1:8: error\[CONFIG_READ\]: read fleet .*fleet\.yaml: ENOENT/,
	);
});
