/** Creates interfaces and named namespaces without ip(8), and reads them with it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { enterNetns, ip, run } from "../../../../test/support/netns.ts";
import {
	addAlternativeName,
	changeLink,
	createLink,
	createNamedNamespace,
	deleteAlternativeName,
	deleteLink,
	deleteNamedNamespace,
	type IfIndex,
	ifIndexOf,
	interfaceByName,
	listInterfaces,
	listNamedNamespaces,
	NetworkNamespace,
	namespaceProcesses,
} from "../../src/index.ts";

enterNetns();

const index = (name: string): IfIndex => interfaceByName(name).index;

test("creates dummy, bridge, veth and VLAN interfaces with their settings", () => {
	createLink({ kind: "bridge", name: "d0", mtu: 1400, linkAddress: [2, 0, 0, 0, 0, 1], up: true });
	createLink({ kind: "bridge", name: "br0" });
	createLink({ kind: "veth", name: "v0", index: 70, up: true, peer: { name: "v1", mtu: 9000 } });
	const first = interfaceByName("d0");
	assert.deepEqual([first.kind, first.mtu, first.up], ["bridge", 1400, true]);
	assert.deepEqual([...first.linkAddress], [2, 0, 0, 0, 0, 1]);
	assert.deepEqual([index("v0"), interfaceByName("v0").linkedTo], [70, index("v1")]);
	assert.deepEqual([interfaceByName("v1").mtu, interfaceByName("v0").up], [9000, true]);
	assert.throws(() => createLink({ kind: "bridge", name: "d0" }), {
		message: /^create bridge interface d0: EEXIST/,
	});
});

test("creates a VLAN and a dummy if the kernel supports them, or names the missing kind", () => {
	const vlan = { kind: "vlan", name: "d0.7", parent: index("d0"), id: 7 } as const;
	if (kernelHas("link add link d0 name probe type vlan id 8")) {
		createLink(vlan);
		assert.equal(interfaceByName("d0.7").linkedTo, index("d0"));
		assert.match(ip("-d link show d0.7"), /vlan protocol 802\.1Q id 7/);
	} else assert.throws(() => createLink(vlan), /^SyscallError: create vlan interface d0\.7: EOPNOTSUPP/);
	if (kernelHas("link add probe type dummy")) {
		createLink({ kind: "dummy", name: "dummy7" });
		assert.equal(interfaceByName("dummy7").kind, "dummy");
	} else {
		assert.throws(() => createLink({ kind: "dummy", name: "dummy7" }), /EOPNOTSUPP/);
	}
	assert.throws(() => createLink({ ...vlan, id: 0 }), RangeError);
});

function kernelHas(command: string): boolean {
	try {
		ip(command);
		ip("link delete probe");
		return true;
	} catch {
		return false;
	}
}

test("reports that a tunnel has no ARP", () => {
	ip("tuntap add tun0 mode tun");
	assert.deepEqual(
		["br0", "v0", "tun0", "lo"].map((name) => interfaceByName(name).arp),
		[true, true, false, true],
	);
	ip("link delete tun0");
});

test("sets an interface up, renames it, changes its MTU and bridge, and deletes it with its peer", () => {
	changeLink(index("v0"), { mtu: 1300, master: index("br0") });
	changeLink(index("v1"), { up: true });
	assert.deepEqual([interfaceByName("v1").up, interfaceByName("v0").mtu], [true, 1300]);
	assert.equal(interfaceByName("v0").carrier, true);
	assert.equal(interfaceByName("v0").master, index("br0"));
	changeLink(index("v0"), { up: false, master: 0 });
	changeLink(index("v0"), { name: "w0" });
	assert.deepEqual([interfaceByName("w0").index, interfaceByName("w0").master], [70, undefined]);
	deleteLink(ifIndexOf(70));
	assert.ok(!listInterfaces().some(({ name }) => name === "w0" || name === "v1"));
	assert.throws(() => deleteLink(ifIndexOf(70)), { message: /^delete interface 70: ENODEV/ });
});

test("finds an interface by its alternative names, short and long", () => {
	const long = "enp3s0-the-second-port-of-the-card-in-slot-three";
	addAlternativeName(index("d0"), long);
	addAlternativeName(index("d0"), "uplink");
	assert.deepEqual([...interfaceByName(long).alternativeNames].sort(), [long, "uplink"]);
	assert.equal(interfaceByName("uplink").name, "d0");
	deleteAlternativeName(index("d0"), "uplink");
	assert.throws(() => interfaceByName("uplink"), /no such interface/);
	assert.throws(() => interfaceByName("x".repeat(128)), /not a name that an interface can have/);
});

test("ip lists a named namespace, and work in it leaves this process in its own", () => {
	const before = NetworkNamespace.current().inode;
	using there = createNamedNamespace("rtnl-test");
	assert.ok(listNamedNamespaces().includes("rtnl-test"));
	createLink({ kind: "veth", name: "here0", peer: { name: "there0", namespace: there } });
	assert.match(run("ip", "netns", "exec", "rtnl-test", "ip", "-o", "link"), /there0@/);
	assert.deepEqual(
		there.within(() => listInterfaces().map(({ name }) => name)),
		["lo", "there0"],
	);
	// The index of the peer belongs to the other namespace.
	assert.equal(interfaceByName("here0").linkedTo, undefined);
	const seen = there.within(() => spawnSync("ls", ["/proc/self/net/dev_snmp6"], { encoding: "utf8" }));
	assert.match(seen.stdout, /there0/);
	assert.equal(NetworkNamespace.current().inode, before);
	assert.ok(namespaceProcesses(NetworkNamespace.current()).includes(process.pid));
	assert.deepEqual(namespaceProcesses(there), []);
	assert.throws(() => createNamedNamespace("rtnl-test"), {
		message: "create network namespace rtnl-test: EEXIST (file exists)",
	});
	deleteNamedNamespace("rtnl-test");
	assert.ok(!existsSync("/run/netns/rtnl-test"));
	assert.throws(() => deleteNamedNamespace("rtnl-test"), {
		message: "delete network namespace rtnl-test: ENOENT (no such file or directory)",
	});
	assert.throws(() => createNamedNamespace("../x"), /not a name that a namespace can have/);
});

test("deletes a namespace that ip created, and ip deletes one that was created here", () => {
	run("ip", "netns", "add", "rtnl-theirs");
	deleteNamedNamespace("rtnl-theirs");
	createNamedNamespace("rtnl-ours")[Symbol.dispose]();
	run("ip", "netns", "delete", "rtnl-ours");
	assert.deepEqual(listNamedNamespaces(), []);
});
