import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, test } from "node:test";
import { enterNetns, ip, run } from "../../../../../test/support/netns.ts";
import { l3dsr } from "../run-command.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-ipv6-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const STOPPED = "web6 (2001:db8::10) is stopped: IPv6 is disabled on this host\n";

ip("link add eth0 type veth peer name peer0");
ip("addr add 10.0.0.2/24 dev eth0");
ip("link set eth0 up");
ip("link set peer0 up");
ip("route add default via 10.0.0.1 dev eth0");

function ipv6(on: boolean): void {
	run("sysctl", "-qw", `net.ipv6.conf.all.disable_ipv6=${on ? 0 : 1}`);
}

async function succeed(...argv: string[]): Promise<string> {
	const { exitCode, stdout, stderr } = await l3dsr(...argv);
	assert.deepEqual({ exitCode, stderr }, { exitCode: 0, stderr: "" }, stdout);
	return stdout;
}

async function stateOf(name: string): Promise<Record<string, unknown>> {
	const { services } = JSON.parse((await l3dsr("status", "--json", "-c", config)).stdout);
	return services.find((row: { name: string }) => row.name === name);
}

beforeEach(async () => {
	ipv6(true);
	await succeed("down");
});

for (const datapath of ["nft", "ebpf"]) {
	const file = `datapath: ${datapath}
services:
  - { vip: 192.0.2.10, name: web, dscp: 7 }
  - { vip: "2001:db8::10", name: web6, dscp: 7 }
`;

	test(`with IPv6 disabled its services are stopped without an error, and the others run: ${datapath}`, async () => {
		writeFileSync(config, file);
		ipv6(false);
		const plan = await succeed("up", "-n", "-c", config);
		assert(plan.endsWith(STOPPED), plan);
		assert.doesNotMatch(plan, /2001:db8::10\/128|ip6tables/);
		assert.equal(await succeed("up", "-c", config), `${plan}done: 1 service is up, on ${datapath}\n`);
		assert.equal(await succeed("up", "-c", config), `${STOPPED}nothing to do: 1 service is up\n`);
		const { stopped } = JSON.parse(await succeed("up", "--json", "-c", config));
		assert.deepEqual(stopped, [
			{ service: "web6", vip: "2001:db8::10", reason: "IPv6 is disabled on this host" },
		]);

		const text = await succeed("status", "-c", config);
		assert.match(text, /^web .* up /m);
		assert.match(text, /^web6 .* stopped /m);
		assert(text.endsWith(STOPPED), text);
		assert.equal((await stateOf("web6"))["reason"], "IPv6 is disabled on this host");
		assert.match(await succeed("diff", "-c", config), /is stopped: .*\nno difference: /);

		const server = createServer().listen(80, "192.0.2.10");
		await once(server, "listening");
		const said = await succeed("check", "-c", config);
		server.close();
		assert.match(
			said,
			/^warning\[ipv6-disabled\]: web6 \(2001:db8::10\) stays stopped: IPv6 is disabled on this host\nremedy: sysctl .*\n(question: .*\n)+.*: 2 services; 0 errors, 1 warning, 0 notes\n$/,
		);

		ipv6(true);
		assert.equal((await l3dsr("diff", "-c", config)).exitCode, 4);
		await succeed("up", "-c", config);
		assert.equal((await stateOf("web6"))["state"], "up");
	});

	test(`if IPv6 is disabled while its services run, diff knows why, and up removes their remains: ${datapath}`, async () => {
		writeFileSync(config, file);
		await succeed("up", "-c", config);
		ipv6(false);
		assert.equal((await stateOf("web6"))["state"], "stopped");
		const { exitCode, stdout } = await l3dsr("diff", "-c", config);
		assert.equal(exitCode, 4);
		assert(stdout.startsWith(STOPPED), stdout);
		assert.match(stdout, /^table arp l3dsr holds 2001:db8::10 of a stopped service: IPv6 is disabled/m);
		assert.match(stdout, /^a rule of web6 cannot rewrite: IPv6 is disabled/m);
		assert.match(
			stdout,
			/^possible cause: sysctl: net\.ipv6\.conf\.all\.disable_ipv6, or that of lo\nl3dsr up/m,
		);
		await succeed("up", "-c", config);
		assert.match(await succeed("diff", "-c", config), /^no difference/m);
		assert.doesNotMatch(await succeed("show"), /2001:db8/);
		await succeed("down");
		assert.doesNotMatch(run("nft", "list", "ruleset"), /l3dsr/);
		assert.equal(ip("-o addr show to 192.0.2.0/24"), "");
	});
}

test("disabling IPv6 on lo is enough; disabling it on another interface has no effect", async () => {
	writeFileSync(config, 'datapath: nft\nservices: [{ vip: "2001:db8::10", name: web6, dscp: 7 }]\n');
	run("sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=1");
	assert.equal(await succeed("up", "-c", config), `${STOPPED}nothing to do: no service is up\n`);
	run("sysctl", "-qw", "net.ipv6.conf.lo.disable_ipv6=0", "net.ipv6.conf.eth0.disable_ipv6=1");
	assert.match(
		await succeed("up", "-c", config),
		/^ip address add 2001:db8::10\/128 dev lo nodad preferred_lft 0$/m,
	);
});
