import assert from "node:assert/strict";
import { test } from "node:test";
import { NetworkNamespace } from "@l3dsr/linux";
import { Nftables, printCommand } from "@l3dsr/nftables";
import { parseAddress } from "@l3dsr/packet";
import { enterNetns, ip, Netns, run, waitFor } from "../../../../test/support/netns.ts";
import {
	applyGuard,
	guardObserver,
	NO_GUARD,
	observeGuard,
	planGuardChange,
} from "../../src/host/vip-guard.ts";
import { guardFor, type LinkAddress } from "../../src/model/vip-guard.ts";

enterNetns();

function address(text: string) {
	const parsed = parseAddress(text);
	assert(parsed !== undefined);
	return parsed;
}

function link(name: string, prefix: string): LinkAddress {
	const [text = "", length] = prefix.split("/");
	return { interface: name, address: address(text), prefixLength: Number(length) };
}

const LINKS = [link("eth0", "10.0.0.2/24"), link("eth0", "10.0.0.9/28"), link("eth1", "10.1.0.2/32")];
const VIPS = ["192.0.2.2", "192.0.2.1", "2001:db8::1"].map(address);

test("a guard is read back as it was written, and only its elements are changed", async () => {
	assert.deepEqual(observeGuard(), NO_GUARD);
	const guard = guardFor(VIPS, LINKS);
	using nftables = new Nftables();
	const before = nftables.generation();
	const step = applyGuard(guard, NO_GUARD);
	assert.deepEqual(step, { before, after: nftables.generation() });
	assert.notEqual(step.after, before);
	const observed = observeGuard();
	assert.deepEqual(observed.guard, guard);
	assert.deepEqual(planGuardChange(guard, observed), []);
	assert.deepEqual(applyGuard(guard, observed), { before: step.after, after: step.after });

	const fewer = guardFor(VIPS.slice(1), LINKS);
	assert.equal(
		planGuardChange(fewer, observed).map(printCommand).join("\n"),
		"delete element arp l3dsr held4 { 192.0.2.2 }\ndelete element arp l3dsr silent4 { 192.0.2.2 }",
	);
	applyGuard(fewer, observed);
	assert.deepEqual(observeGuard().guard, fewer);

	applyGuard(undefined, observeGuard());
	assert.deepEqual(observeGuard(), NO_GUARD);
	assert.equal(run("nft", "list", "ruleset"), "");
});

test("a guard that was altered is detected, still knows its VIPs, and is repaired", async () => {
	const guard = guardFor(VIPS, LINKS);
	const alterations = [
		"add rule arp l3dsr input accept",
		"flush chain arp l3dsr input",
		"flush chain arp l3dsr output",
		"add chain arp l3dsr extra",
		"insert rule arp l3dsr output drop",
	];
	const look = guardObserver();
	for (const alteration of alterations) {
		applyGuard(guard, observeGuard());
		assert.deepEqual([look(), look()], [observeGuard(), observeGuard()], "who looks again sees the same");
		run("nft", alteration);
		const observed = observeGuard();
		assert.deepEqual(look(), observed);
		assert.equal(observed.altered, true, alteration);
		assert.deepEqual(observed.held, guard?.held);
		applyGuard(guard, observed);
		assert.deepEqual(observeGuard().guard, guard);
	}
	run("nft", "delete table arp l3dsr");
});

test("a guard of version 0.1.0, which wrote it with nft(8), is recognised", () => {
	const guard = guardFor(VIPS, LINKS);
	run("sh", "-c", `nft -f - <<'END'\n${OF_VERSION_0_1_0}END`);
	assert.deepEqual(observeGuard(), { held: guard?.held, found: [], guard, altered: false });
	// The VIPs that were on lo before are added to it without creating it again.
	const found = guardFor(VIPS, LINKS, VIPS.slice(1));
	applyGuard(found, observeGuard());
	assert.deepEqual(observeGuard(), { held: guard?.held, found: found?.found, guard: found, altered: false });
	applyGuard(guard, observeGuard());
	assert.deepEqual(observeGuard().guard, guard);
	run("nft", "delete table arp l3dsr");
});

/** The guard for {@link VIPS} on {@link LINKS}. */
const OF_VERSION_0_1_0 = `table arp l3dsr {
	set held4 { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }
	set held6 { type ipv6_addr; elements = { 2001:db8::1 }; }
	set silent4 { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }
	chain input {
		type filter hook input priority filter; policy accept;
		arp operation request arp daddr ip @silent4 drop
	}
	chain output {
		type filter hook output priority filter; policy accept;
		oifname "eth0" arp daddr ip 10.0.0.0/28 arp saddr ip @silent4 arp saddr ip set 10.0.0.9
		oifname "eth0" arp daddr ip 10.0.0.0/24 arp saddr ip @silent4 arp saddr ip set 10.0.0.2
		oifname "eth0" arp saddr ip @silent4 arp saddr ip set 10.0.0.2
		oifname "eth1" arp saddr ip @silent4 arp saddr ip set 10.1.0.2
		arp saddr ip @silent4 arp saddr ip set 0.0.0.0
	}
}
`;

test("a guard is created even if another program deletes it meanwhile", () => {
	const guard = guardFor(VIPS, LINKS);
	applyGuard(guard, NO_GUARD);
	const observed = observeGuard();
	run("nft", "delete table arp l3dsr");
	const fewer = guardFor(VIPS.slice(1), LINKS);
	applyGuard(fewer, observed);
	assert.deepEqual(observeGuard().guard, fewer);
	run("nft", "delete table arp l3dsr");
});

test("the host answers for a VIP that another interface also has", () => {
	const guard = guardFor(VIPS, [...LINKS, link("eth1", "192.0.2.1/24")]);
	assert.deepEqual(
		guard?.silent.map(({ text }) => text),
		["192.0.2.2"],
	);
});

test("two hosts on one segment with the VIP on lo do not answer for it, only the director does", async () => {
	using other = new Netns("other");
	using director = new Netns("director");
	ip("link add seg type bridge");
	ip("link set seg up");
	for (const [peer, host] of [
		[other, 3],
		[director, 4],
	] as const) {
		ip(`link add p${host} type veth peer name eth0 netns ${peer.name}`);
		ip(`link set p${host} master seg up`);
		peer.ip("link set eth0 up");
		peer.ip(`addr add 10.0.0.${host}/24 dev eth0`);
	}
	// This namespace is the first real server: the bridge itself is its interface.
	ip("addr add 10.0.0.2/24 dev seg");
	const vip = "10.0.0.100";
	ip(`addr add ${vip}/32 dev lo`);
	other.ip(`addr add ${vip}/32 dev lo`);
	const asks = (): string => {
		director.ip("neigh flush all");
		try {
			director.run("ping", "-c1", "-W1", vip);
		} catch {
			return director.ip(`neigh show to ${vip}`).includes("lladdr") ? "answered" : "silence";
		}
		return "answered";
	};
	assert.equal(asks(), "answered");
	const guard = (own: string, name: string) => guardFor([address(vip)], [link(name, `${own}/24`)]);
	applyGuard(guard("10.0.0.2", "seg"), NO_GUARD);
	assert.equal(asks(), "answered", "the other one still does");
	using there = NetworkNamespace.open(`/run/netns/${other.name}`);
	applyGuard(guard("10.0.0.3", "eth0"), NO_GUARD, () => there.within(() => new Nftables()));
	assert.equal(asks(), "silence");

	// Neither host reveals the VIP in its own requests: the ARP request for the director has the real
	// address.
	director.ip("neigh flush all");
	ip("neigh flush all");
	run("ping", "-c1", "-W1", "-I", "10.0.0.2", "10.0.0.4");
	ip("neigh flush all");
	director.ip("neigh flush all");
	try {
		run("ping", "-c1", "-W1", "-I", vip, "10.0.0.4");
	} catch {
		// The answer cannot be delivered: no host answers for the VIP.
	}
	assert.match(director.ip("neigh show to 10.0.0.2"), /lladdr/);
	assert.doesNotMatch(director.ip(`neigh show to ${vip}`), /lladdr/);

	director.ip(`addr add ${vip}/24 dev eth0`);
	other.ip("neigh flush all");
	using client = new Netns("client");
	ip(`link add p5 type veth peer name eth0 netns ${client.name}`);
	ip("link set p5 master seg up");
	client.ip("link set eth0 up");
	client.ip("addr add 10.0.0.5/24 dev eth0");
	client.run("ping", "-c1", "-W1", vip);
	const mac = /link\/ether (\S+)/.exec(director.ip("link show eth0"))?.[1];
	assert.match(client.ip(`neigh show to ${vip}`), new RegExp(`lladdr ${mac}`));
});

test("IPv6 on one segment: two hosts with the VIP on lo do not claim it, and the director's own claim works", async () => {
	const vip = "fd00::100";
	using one = new Netns("one");
	using two = new Netns("two");
	using director = new Netns("director");
	using client = new Netns("client");
	ip("link add six type bridge");
	ip("link set six up");
	const hosts = [one, two, director, client];
	for (const [index, host] of hosts.entries()) {
		ip(`link add six${index} type veth peer name eth0 netns ${host.name}`);
		ip(`link set six${index} master six up`);
		// Prevents any other unsolicited message of a host, and shortens the wait for missing answers.
		host.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=0", "net.ipv6.neigh.eth0.retrans_time_ms=50");
		host.ip("link set eth0 up");
		host.ip(`addr add fd00::${index + 1}/64 dev eth0 nodad`);
	}
	// The worst case: both are routers that act as proxies if configured to.
	for (const host of [one, two]) {
		host.ip(`addr add ${vip}/128 dev lo nodad`);
		host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1", "net.ipv6.conf.all.proxy_ndp=1");
	}
	await waitFor("an answer of each host", () => {
		try {
			for (const index of [1, 2, 3]) client.run("ping", "-c1", "-W1", `fd00::${index}`);
			return true;
		} catch {
			return false;
		}
	});
	// A host without a link-local address does not use another interface's address to ask.
	await waitFor("link-local addresses", () =>
		hosts.every((host) => !host.ip("addr show").includes("tentative")),
	);
	const macOf = (host: Netns) => /link\/ether (\S+)/.exec(host.ip("link show eth0"))?.[1] ?? "";

	// A solicitation for the VIP gets no answer.
	assert.throws(() => client.run("ping", "-c1", "-W1", vip));
	assert.doesNotMatch(client.ip(`neigh show to ${vip}`), /lladdr/);

	// A unicast solicitation, which confirms an entry that was right once, gets no answer either.
	for (const host of [one, two]) {
		client.ip(`neigh replace ${vip} lladdr ${macOf(host)} dev eth0 nud probe`);
		await waitFor("end of the probes", () => !/PROBE|DELAY/.test(client.ip(`neigh show to ${vip}`)));
		assert.doesNotMatch(client.ip(`neigh show to ${vip}`), /REACHABLE/);
	}
	client.ip("-6 neigh flush all");

	// Their own solicitations while they send from the VIP have the address of the interface.
	for (const host of [one, two]) {
		host.ip("-6 neigh flush all");
		client.ip("-6 neigh flush all");
		assert.throws(() => host.run("ping", "-c1", "-W1", "-I", vip, "fd00::4"));
		assert.match(host.ip("neigh show to fd00::4"), /lladdr/, "the request was answered");
		assert.doesNotMatch(client.ip(`neigh show to ${vip}`), /lladdr/);
	}

	// The director may take the address: no host defends it, and then only the director answers for it.
	director.ip(`addr add ${vip}/64 dev eth0`);
	await waitFor(
		"an address without duplicates",
		() => !director.ip(`addr show to ${vip}`).includes("tentative"),
	);
	assert.doesNotMatch(director.ip(`addr show to ${vip}`), /dadfailed/);
	client.ip("-6 neigh flush all");
	client.run("ping", "-c1", "-W2", vip);
	assert.match(client.ip(`neigh show to ${vip}`), new RegExp(`lladdr ${macOf(director)}`));

	// Cross-check of this test: with the VIP on the interface itself, a host does answer.
	director.ip(`addr del ${vip}/64 dev eth0`);
	one.ip(`addr add ${vip}/64 dev eth0 nodad`);
	client.ip("-6 neigh flush all");
	client.run("ping", "-c1", "-W2", vip);
	assert.match(client.ip(`neigh show to ${vip}`), new RegExp(`lladdr ${macOf(one)}`));
});
