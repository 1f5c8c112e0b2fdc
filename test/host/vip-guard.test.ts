import assert from "node:assert/strict";
import { test } from "node:test";
import { systemPrograms } from "../../src/host/process.ts";
import { applyGuard, encodeGuardChange, NO_GUARD, observeGuard } from "../../src/host/vip-guard.ts";
import { parseAddress } from "../../src/model/address.ts";
import { guardFor, type LinkAddress } from "../../src/model/vip-guard.ts";
import { enterNetns, ip, Netns, run } from "../netns.ts";

enterNetns();

const programs = systemPrograms(process.env);

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

test("a guard is written and read back as the same, and changed by elements alone", async () => {
	assert.deepEqual(await observeGuard(programs), NO_GUARD);
	const guard = guardFor(VIPS, LINKS);
	await applyGuard(programs, guard, NO_GUARD);
	const observed = await observeGuard(programs);
	assert.deepEqual(observed.guard, guard);
	assert.equal(encodeGuardChange(guard, observed), "");

	const fewer = guardFor(VIPS.slice(1), LINKS);
	assert.equal(
		encodeGuardChange(fewer, observed),
		"delete element arp l3dsr held4 { 192.0.2.2 }\ndelete element arp l3dsr silent4 { 192.0.2.2 }\n",
	);
	await applyGuard(programs, fewer, observed);
	assert.deepEqual((await observeGuard(programs)).guard, fewer);

	await applyGuard(programs, undefined, await observeGuard(programs));
	assert.deepEqual(await observeGuard(programs), NO_GUARD);
	assert.equal(run("nft", "list", "ruleset"), "");
});

test("a guard that somebody has altered is seen as that, still knows its VIPs, and is mended", async () => {
	const guard = guardFor(VIPS, LINKS);
	const alterations = [
		"add rule arp l3dsr input accept",
		"flush chain arp l3dsr input",
		"flush chain arp l3dsr output",
		"add chain arp l3dsr extra",
		"insert rule arp l3dsr output drop",
	];
	for (const alteration of alterations) {
		await applyGuard(programs, guard, await observeGuard(programs));
		run("nft", alteration);
		const observed = await observeGuard(programs);
		assert.equal(observed.altered, true, alteration);
		assert.deepEqual(observed.held, guard?.held);
		await applyGuard(programs, guard, observed);
		assert.deepEqual((await observeGuard(programs)).guard, guard);
	}
	run("nft", "delete table arp l3dsr");
});

test("a VIP that another interface holds as well is answered for there", () => {
	const guard = guardFor(VIPS, [...LINKS, link("eth1", "192.0.2.1/24")]);
	assert.deepEqual(
		guard?.silent.map(({ text }) => text),
		["192.0.2.2"],
	);
});

test("two hosts on one segment with the VIP on lo: neither answers for it, the director's does", async () => {
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
	await applyGuard(programs, guard("10.0.0.2", "seg"), NO_GUARD);
	assert.equal(asks(), "answered", "the other one still does");
	const there = {
		run: (program: string, args: readonly string[], options?: object) =>
			programs.run("ip", ["netns", "exec", other.name, program, ...args], options),
	};
	await applyGuard(there, guard("10.0.0.3", "eth0"), NO_GUARD);
	assert.equal(asks(), "silence");

	// Neither makes itself known by what it asks: the request for the director carries the real address.
	director.ip("neigh flush all");
	ip("neigh flush all");
	run("ping", "-c1", "-W1", "-I", "10.0.0.2", "10.0.0.4");
	ip("neigh flush all");
	director.ip("neigh flush all");
	try {
		run("ping", "-c1", "-W1", "-I", vip, "10.0.0.4");
	} catch {
		// The answer has nowhere to go: nobody answers for the VIP.
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

test("IPv6 needs no guard: neighbour discovery does not speak for an address on lo", () => {
	using peer = new Netns("peer");
	ip(`link add six type veth peer name eth0 netns ${peer.name}`);
	ip("link set six up");
	peer.ip("link set eth0 up");
	ip("addr add fd00::2/64 dev six nodad");
	peer.ip("addr add fd00::1/64 dev eth0 nodad");
	ip("addr add fd00::100/128 dev lo nodad");
	peer.run("ping", "-c1", "-W1", "fd00::2");
	assert.throws(() => peer.run("ping", "-c1", "-W1", "fd00::100"));
	assert.doesNotMatch(peer.ip("neigh show to fd00::100"), /lladdr/);
});
