/**
 * Two real servers on the same segment as their director and a client, with the same VIPs, created by `l3dsr
 * up`.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { commandPath } from "../../../../../test/support/commands.ts";
import { enterNetns, ip, Netns, run, waitFor } from "../../../../../test/support/netns.ts";

enterNetns();

const folder = mkdtempSync(join(tmpdir(), "l3dsr-segment-"));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, "l3dsr.yaml");
const VIPS = ["10.0.0.100", "fd00::100"];
const l3dsr = commandPath("l3dsr");

for (const datapath of ["ebpf", "nft"]) {
	test(`only the director answers for the VIPs, both serve, and no sysctl is changed: ${datapath}`, async () => {
		writeFileSync(
			config,
			`datapath: ${datapath}\nservices:\n${VIPS.map((vip) => `  - { vip: "${vip}", dscp: 7 }\n`).join("")}`,
		);
		using one = new Netns("one");
		using two = new Netns("two");
		using director = new Netns("director");
		using client = new Netns("client");
		ip("link add segment type bridge");
		ip("link set segment up");
		for (const [index, host] of [one, two, director, client].entries()) {
			// Not the names of the previous test: interfaces disappear some time after their namespaces.
			const port = `${datapath}${index}`;
			ip(`link add ${port} type veth peer name eth0 netns ${host.name}`);
			ip(`link set ${port} master segment up`);
			host.ip("link set eth0 up");
			host.ip(`addr add 10.0.0.${index + 1}/24 dev eth0`);
			host.ip(`addr add fd00::${index + 1}/64 dev eth0 nodad`);
		}
		const answered = (target: string, ...options: string[]) => {
			try {
				return /bytes from ([^ ]+?):? /.exec(client.run("ping", "-n", "-c1", "-W1", ...options, target))?.[1];
			} catch {
				return undefined;
			}
		};
		await waitFor("every host", () =>
			["10.0.0.1", "10.0.0.2", "fd00::2", "fd00::3"].every((one) => answered(one)),
		);
		const neighbour = (vip: string) => client.ip(`neigh show to ${vip}`);
		const sysctls = (host: Netns) => host.run("sysctl", "-ae", "-r", "^net.ipv[46].(conf|neigh).");
		const before = [one, two].map(sysctls);
		assert.match(before[0] ?? "", /^net\.ipv4\.conf\.eth0\.arp_ignore = 0$/m);

		for (const host of [one, two]) run(l3dsr, "up", "-c", config, "--netns", host.name);
		for (const vip of VIPS) {
			assert.equal(answered(vip), undefined, `${vip} is nobody's on the segment`);
			assert.doesNotMatch(neighbour(vip), /lladdr/);
		}

		// Like a director: sets the code and the real server's address; the answer comes from the VIP.
		for (const index of [1, 2]) {
			assert.equal(answered(`10.0.0.${index}`, "-Q", "0x1c"), VIPS[0]);
			assert.equal(answered(`fd00::${index}`, "-Q", "0x1c"), VIPS[1]);
		}
		for (const vip of VIPS)
			assert.doesNotMatch(neighbour(vip), /lladdr/, "and does not make itself known by it");

		director.ip("addr add 10.0.0.100/24 dev eth0");
		director.ip("addr add fd00::100/64 dev eth0 nodad");
		const mac = /link\/ether (\S+)/.exec(director.ip("link show eth0"))?.[1] ?? "";
		for (const vip of VIPS) {
			client.ip("neigh flush all");
			client.ip("-6 neigh flush all");
			assert.equal(answered(vip), vip);
			assert.match(neighbour(vip), new RegExp(`lladdr ${mac}`));
		}

		assert.deepEqual([one, two].map(sysctls), before);
		for (const host of [one, two]) run(l3dsr, "down", "--netns", host.name);
		ip("link del segment");
	});
}
