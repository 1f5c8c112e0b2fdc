/** Firewalls of Debian are started, reloaded and stopped beside services under load. */
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { run } from "../../../../test/support/netns.ts";
import { PORT } from "../cli/services/load.ts";
import { type Act, BusyHost, SERVER_PORT } from "./beside.ts";
import { Daemon, enterDaemonNetns, startBus, succeeds, unitCommand } from "./daemon.ts";

enterDaemonNetns();

const host = new BusyHost();
before(() => host.serve());
after(() => host[Symbol.asyncDispose]());

test("nftables.service flushes every table, which is detected, named and repaired", async () => {
	const acts = (["ExecStart", "ExecReload", "ExecStop"] as const).map(
		(key): Act => ({
			what: `${key}= of nftables.service`,
			act: () => run(...unitCommand("nftables.service", key)),
			takes: {
				drift: [
					/^table arp l3dsr is missing: ARP answers for 192\.0\.2\.10, 192\.0\.2\.12, 192\.0\.2\.14$/m,
					/^table ip6 l3dsr is missing: answers of services with set-port leave from the wrong port/m,
				],
				suspect: /^nft flush ruleset deletes every table at once: .*nftables\.service/,
				by: "nft",
			},
		}),
	);
	await host.mendedByUp(acts);
	await host.mendedByAgent(acts);
});

test("firewalld starts, reloads and stops, and every packet is rewritten", async () => {
	await using _bus = await startBus();
	// Its own folder of settings, with the services' port open.
	const settings = mkdtempSync("/run/firewalld-");
	mkdirSync(join(settings, "zones"));
	writeFileSync(
		join(settings, "zones", "public.xml"),
		`<zone>${["tcp", "udp"].map((protocol) => `<port port="${PORT}-${SERVER_PORT}" protocol="${protocol}"/>`).join("")}</zone>`,
	);
	let firewalld: Daemon | undefined;
	const [program, ...args] = unitCommand("firewalld.service", "ExecStart");
	try {
		await host.mendedByAgent([
			{
				what: "firewalld starts",
				act: async () => {
					firewalld = await Daemon.start([program, ...args, "--system-config", settings], () =>
						succeeds("firewall-cmd", "--state"),
					);
				},
			},
			{ what: "firewalld reloads", act: () => run("firewall-cmd", "--reload") },
			{ what: "firewalld reloads completely", act: () => run("firewall-cmd", "--complete-reload") },
			{ what: "firewalld stops", act: () => firewalld?.stop() },
		]);
	} finally {
		await firewalld?.[Symbol.asyncDispose]();
	}
});

test("ufw is enabled, reloaded, disabled and reset, and every packet is rewritten", async () => {
	const allow = () =>
		["tcp", "udp"].map((protocol) => run("ufw", "allow", `${PORT}:${SERVER_PORT}/${protocol}`));
	allow();
	await host.mendedByAgent([
		{ what: "ufw enable", act: () => run("ufw", "--force", "enable") },
		{ what: "ufw reload", act: () => run("ufw", "reload") },
		{ what: "ufw disable", act: () => run("ufw", "disable") },
		{ what: "ufw-init flush-all", act: () => run("/lib/ufw/ufw-init", "flush-all") },
		{
			what: "ufw reset",
			act: () => {
				run("ufw", "--force", "reset");
				allow();
			},
		},
	]);
});
