/** The life of a package on a host, from installation to removal, while a client is served. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { waitFor } from "../../test/support/netns.ts";
import { everyCommandAnswers, type Host } from "./host.ts";
import { Traffic } from "./traffic.ts";

export interface Life {
	readonly host: () => Host;
	/** Commands on the host, whose working folder has the packages. */
	readonly install: string;
	readonly upgrade: string;
	readonly downgrade: string;
	readonly remove: string;
	/** The command that prints the installed version, and its output after each step. */
	readonly installed: string;
	readonly versions: { readonly old: string; readonly new: string };
}

export function livesThrough(title: string, life: Life): void {
	describe(title, () => {
		let host: Host;
		let traffic: Traffic;
		before(() => {
			host = life.host();
			traffic = new Traffic(host.netns);
		});
		after(async () => {
			await traffic[Symbol.asyncDispose]();
			host[Symbol.dispose]();
		});

		it("installs without a Node on the host and without systemd, and every command answers", () => {
			host.run("[ ! -d /run/systemd/system ]");
			host.run(life.install);
			assert.ok(host.run(life.installed).includes(life.versions.old));
			everyCommandAnswers((commands) => host.run(commands));
			assert.equal(host.run("nft list ruleset"), "");
		});

		it("shows L3DSR at work in its lab", () => {
			assert.match(host.run("l3dsr lab"), /72\.30\.38\.140/);
		});

		it("keeps rewriting during upgrade and downgrade: no packet is lost, nothing in the kernel changes", async () => {
			const yaml = `services: [{ vip: ${Traffic.vip}, dscp: ${Traffic.dscp} }]`;
			host.run(`
				echo '${yaml}' > /etc/l3dsr/l3dsr.yaml
				printf '192.0.2.20=9' > /etc/dsr.d/web.conf
				l3dsr up; dsrctl start
				iptables-daddr -t mangle -A INPUT -m dscp --dscp 1 -j DADDR --set-daddr 192.0.2.30`);
			// The output of this system's nft is read back completely.
			host.run("l3dsr diff; dsrctl check; iptables-daddr -t mangle -S INPUT | grep 192.0.2.30");
			await traffic.start();
			// Handles distinguish a restored rule from one that stayed; counters increase, and are left out.
			const state = () =>
				host
					.run(`nft -s -a list ruleset; ip -o address show dev lo; tc filter show dev eth0 ingress
						cat /etc/l3dsr/l3dsr.yaml /etc/dsr.d/web.conf`)
					.replace(/packets \d+ bytes \d+/g, "");
			const running = state();
			for (const vip of [Traffic.vip, "192.0.2.20", "192.0.2.30"]) assert.ok(running.includes(vip), running);
			for (const [commands, version] of [
				[life.upgrade, life.versions.new],
				[life.downgrade, life.versions.old],
			] as const) {
				await traffic.unharmedBy(() => {
					host.run(commands);
				});
				assert.ok(host.run(life.installed).includes(version), version);
				assert.equal(state(), running);
			}
		});

		it("removes its rules and addresses at removal, and keeps the operator's files", async () => {
			host.run(life.remove);
			assert.equal(host.run("nft list ruleset"), "");
			assert.doesNotMatch(host.run("ip -o address show dev lo"), /192\.0\.2\./);
			const kept = host.run("cat /etc/l3dsr/l3dsr.yaml /etc/dsr.d/web.conf");
			assert.ok(kept.includes(Traffic.vip) && kept.includes("192.0.2.20"), kept);
			const files = host
				.run("find /etc /usr /var -xdev '(' -name '*l3dsr*' -o -name '*iptables-daddr*' -o -name dsrctl ')'")
				.split("\n")
				.filter((file) => file !== "" && !file.startsWith("/var/lib/dpkg/"));
			assert.deepEqual(files.sort(), ["/etc/l3dsr", "/etc/l3dsr/l3dsr.yaml"]);
			const { lost } = await traffic.count();
			await waitFor("packet that nobody answers", async () => (await traffic.count()).lost > lost);
		});
	});
}
