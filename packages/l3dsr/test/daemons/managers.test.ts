/** Daemons of Debian that manage addresses are started, reloaded and stopped beside services under load. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { ip, run, waitFor } from "../../../../test/support/netns.ts";
import { type Act, BusyHost, SHARED_VIP } from "./beside.ts";
import { Daemon, emptyForTest, enterDaemonNetns, startBus, succeeds, unitCommand } from "./daemon.ts";

/** The machine's own /etc, whatever is mounted over it afterwards. */
const etc = openSync("/etc", "r");
const resolvConf = () => readFileSync(`/proc/self/fd/${etc}/resolv.conf`, "utf8");
const atFirst = resolvConf();
after(() => assert.equal(resolvConf(), atFirst, "a daemon has changed the machine's resolv.conf"));

enterDaemonNetns();
// As in a container: then these daemons do not wait for udev.
run("mount", "-o", "remount,ro", "/sys");

const host = new BusyHost();
before(() => host.serve());
after(() => host[Symbol.asyncDispose]());

test("NetworkManager starts, reloads and stops, and VIPs that a profile for lo removes are restored", async () => {
	await using _bus = await startBus();
	const profiles = "/etc/NetworkManager/system-connections";
	emptyForTest(profiles);
	emptyForTest("/var/lib/NetworkManager");
	const write = (name: string, text: string) => {
		writeFileSync(`${profiles}/${name}.nmconnection`, `[connection]\nid=${name}\n${text}`);
		chmodSync(`${profiles}/${name}.nmconnection`, 0o600);
	};
	write(
		"eth0",
		`type=ethernet
interface-name=eth0
[ipv4]
method=manual
address1=10.0.0.2/24
[ipv6]
method=manual
address1=fd00::2/64
`,
	);
	let manager: Daemon | undefined;
	try {
		await host.mendedByAgent([
			{
				what: "NetworkManager starts",
				act: async () => {
					manager = await Daemon.start(unitCommand("NetworkManager.service", "ExecStart"), () =>
						succeeds("nmcli", "--wait", "1", "connection", "show", "--active", "eth0"),
					);
				},
			},
			{ what: "NetworkManager reloads", act: () => run("nmcli", "general", "reload") },
			{
				what: "eth0 is activated again",
				act: () => run("nmcli", "connection", "up", "eth0"),
				flapsAddresses: true,
			},
			{
				what: "a profile for lo is activated",
				act: () => {
					write("lo", "type=loopback\ninterface-name=lo\n[ipv4]\nmethod=manual\naddress1=127.0.0.1/8\n");
					run("nmcli", "connection", "reload");
					run("nmcli", "connection", "up", "lo");
				},
				takes: {
					drift: [/^192\.0\.2\.10 on lo is not there$/m],
					suspect: /^NetworkManager is running; a profile for lo/,
					by: "NetworkManager",
				},
			},
			{ what: "NetworkManager stops", act: () => manager?.stop() },
		]);
	} finally {
		await manager?.[Symbol.asyncDispose]();
	}
});

/**
 * The version since which a .network file for lo removes other programs' addresses: Debian 12 has 252, Debian
 * 13 has 257.
 */
const NETWORKD_CLEANS_LO = 257;

test("systemd-networkd starts, reloads and stops, and VIPs that newer versions remove are restored", async () => {
	await using _bus = await startBus();
	const version = Number(/^systemd (\d+)/.exec(run("networkctl", "--version"))?.[1]);
	mkdirSync("/run/systemd/network", { recursive: true });
	mkdirSync("/run/systemd/netif");
	run("chown", "systemd-network:systemd-network", "/run/systemd/netif");
	const write = (name: string, text: string) =>
		writeFileSync(`/run/systemd/network/${name}.network`, `[Match]\nName=${name}\n[Network]\n${text}`);
	write("eth0", "Address=10.0.0.2/24\nAddress=fd00::2/64\n");
	const isConfigured = (name: string) => () =>
		run("networkctl", "--json=short", "status", name).includes('"configured"');
	let networkd: Daemon | undefined;
	try {
		await host.mendedByAgent([
			{
				what: "systemd-networkd starts",
				act: async () => {
					networkd = await Daemon.start(
						unitCommand("systemd-networkd.service", "ExecStart"),
						() => succeeds("networkctl", "status", "eth0") && isConfigured("eth0")(),
					);
				},
			},
			{ what: "networkctl reload", act: () => run(...unitCommand("systemd-networkd.service", "ExecReload")) },
			{
				what: "lo gets a .network file",
				act: async () => {
					write("lo", "Address=198.51.100.77/32\n");
					run("networkctl", "reload");
					await networkd?.until("lo", () => ip("-o addr show dev lo").includes("198.51.100.77"));
				},
				takes: {
					...(version >= NETWORKD_CLEANS_LO
						? {
								drift: [/^192\.0\.2\.10 on lo is not there$/m],
								suspect: /^systemd-networkd is running; with a \.network file that matches lo/,
							}
						: {
								drift: [/^program at tcx ingress of eth0 was created when this host had other addresses$/m],
								suspect: /^the addresses of this host have changed/,
							}),
					by: "systemd-network",
				},
			},
			{ what: "systemd-networkd stops", act: () => networkd?.stop() },
		]);
	} finally {
		await networkd?.[Symbol.asyncDispose]();
	}
});

test("keepalived becomes master and backup again, and this host answers ARP for the address while master", async () => {
	const fault = "/run/vrrp-fault";
	writeFileSync(fault, "0");
	writeFileSync(
		"/run/keepalived.conf",
		`global_defs { vrrp_version 3 }
		track_file fault { file ${fault}
weight 0 }
		vrrp_instance one {
			interface eth0
			state BACKUP
			virtual_router_id 7
			priority 100
			advert_int 0.1
			track_file { fault }
			virtual_ipaddress { ${SHARED_VIP}/32 }
		}`,
	);
	host.client.netns.ip(`route add ${SHARED_VIP} dev eth0`);
	/** Whether this host answers an ARP request. */
	const claims = (): boolean => {
		host.client.netns.ip("neigh flush dev eth0");
		return succeeds(
			...["ip", "netns", "exec", host.client.netns.name, "ping", "-c1", "-W1", "-w1", SHARED_VIP],
		);
	};
	const isOnEth0 = () => ip("-o addr show dev eth0").includes(SHARED_VIP);
	const [program] = unitCommand("keepalived.service", "ExecStart");
	let keepalived: Daemon | undefined;
	const changes = (what: string, master: boolean, act: () => unknown): Act => ({
		what,
		act: async () => {
			await act();
			await waitFor(`${SHARED_VIP} on eth0: ${master}`, () => isOnEth0() === master, 10_000);
		},
		takes: {
			drift: [
				master
					? /^table arp l3dsr was created when this host had other addresses$/m
					: new RegExp(`^table arp l3dsr does not silence ${SHARED_VIP}: ARP answers for it$`, "m"),
			],
			suspect: /^the addresses of this host have changed \(DHCP, VRRP, an operator\)/,
		},
		afterwards: () => assert.equal(claims(), master, what),
	});
	const acts: readonly Act[] = [
		changes("keepalived starts and is master", true, async () => {
			keepalived = await Daemon.start(
				[program, "--dont-fork", "--log-console", "-f", "/run/keepalived.conf"],
				isOnEth0,
			);
		}),
		{ what: "keepalived reloads", act: () => keepalived?.signal("SIGHUP") },
		changes("keepalived stops being master", false, () => writeFileSync(fault, "1")),
		changes("keepalived is master again", true, () => writeFileSync(fault, "0")),
		changes("keepalived stops", false, () => keepalived?.stop()),
	];
	try {
		await host.mendedByUp(acts);
		await host.mendedByAgent(acts);
	} finally {
		await keepalived?.[Symbol.asyncDispose]();
	}
});
