import assert from "node:assert/strict";
import { closeSync, openSync, writeSync } from "node:fs";
import { after, before, beforeEach, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { check, interfaceByName, libcFunction, type NetInterface, syscall } from "@l3dsr/linux";
import { failOnLeaks } from "../../../test/support/leak.ts";
import { enterNetns, ip, Netns, run, runScript, waitFor } from "../../../test/support/netns.ts";
import { BPF_ATTACH_TYPE } from "../src/attach/attach-type.ts";
import { clsactEgress, clsactIngress, removeEmptyClsact } from "../src/attach/clsact.ts";
import type { Attached, Hook } from "../src/attach/hook.ts";
import { tcxEgress, tcxIngress } from "../src/attach/tcx.ts";
import { TcxLink } from "../src/attach/tcx-link.ts";
import { xdpGeneric, xdpNative } from "../src/attach/xdp.ts";
import { XDP } from "../src/builder/context.ts";
import { BpfMap } from "../src/map.ts";
import { Program } from "../src/program.ts";
import { sendLiveFrames } from "../src/test-run.ts";
import { countingSpec, SEEN, seen, TC_NEXT, TC_OK, verdictSpec, XDP_PASS } from "./programs.ts";

enterNetns();
failOnLeaks();

let peer: Netns;

before(() => {
	peer = new Netns("peer");
	// Keeps router solicitations and the like out of the counted packets.
	const quiet = "net.ipv6.conf.default.disable_ipv6=1";
	run("sysctl", "-qw", quiet);
	peer.run("sysctl", "-qw", quiet);
});
after(() => peer[Symbol.dispose]());

/** A new pair for each test: v0 here, v1 (192.0.2.2) in the peer's namespace. */
beforeEach(() => {
	const { name } = peer;
	if (run("ip", "-o", "link").includes(" v0@")) ip("link delete v0");
	ip(`link add v0 type veth peer name v1 netns ${name}`);
	ip("address add 192.0.2.1/24 dev v0");
	ip("link set v0 up");
	peer.ip("address add 192.0.2.2/24 dev v1");
	peer.ip("link set v1 up");
});

/** Sends packets from the peer to us, until the answer comes. */
function ping(): void {
	peer.run("ping", "-n", "-c", "1", "-W", "5", "192.0.2.1");
}

const HOOKS: readonly { readonly hook: Hook<Attached, object>; readonly kind: "tc" | "xdp"; pass: number }[] =
	[
		{ hook: tcxIngress as Hook<Attached, object>, kind: "tc", pass: TC_NEXT },
		{ hook: clsactIngress as Hook<Attached, object>, kind: "tc", pass: TC_NEXT },
		{ hook: tcxEgress as Hook<Attached, object>, kind: "tc", pass: TC_NEXT },
		{ hook: clsactEgress as Hook<Attached, object>, kind: "tc", pass: TC_NEXT },
		{ hook: xdpNative as Hook<Attached, object>, kind: "xdp", pass: XDP_PASS },
		{ hook: xdpGeneric as Hook<Attached, object>, kind: "xdp", pass: XDP_PASS },
	];

for (const { hook, kind, pass } of HOOKS) {
	test(`a program at ${hook.name} sees packets, outlives its descriptor, is replaced and detached`, () => {
		const v0 = interfaceByName("v0");
		assert.deepEqual(hook.query(v0), []);
		const first = Program.load(countingSpec(kind, pass, "t_first"));
		hook.attach(v0, first);
		const firstId = first.info.id;
		first[Symbol.dispose]();

		const [current, ...others] = hook.query(v0);
		assert.ok(current !== undefined);
		assert.deepEqual(others, []);
		assert.equal(current.programId, firstId);
		ping();
		{
			using found = Program.open(firstId);
			const [map] = found.openMaps();
			assert.ok(map !== undefined);
			using counters = map;
			assert.ok(seen(counters).runs >= 1);
		}

		using second = Program.load(countingSpec(kind, pass, "t_second"));
		hook.replace(v0, current, second);
		const [replaced, ...rest] = hook.query(v0);
		assert.ok(replaced !== undefined);
		assert.equal(replaced.programId, second.info.id);
		assert.deepEqual(rest, []);
		ping();
		assert.ok(seen(second.map("t_seen")).runs >= 1);

		// A replaced program is gone and cannot be replaced or detached again.
		assert.throws(() => hook.replace(v0, current, second), { message: /ENOENT/ });
		assert.throws(() => hook.detach(v0, current), { message: /ENOENT/ });
		hook.detach(v0, replaced);
		assert.deepEqual(hook.query(v0), []);
		const { runs } = seen(second.map("t_seen"));
		ping();
		assert.equal(seen(second.map("t_seen")).runs, runs);
	});

	test(`${hook.name} names the interface that has disappeared`, () => {
		const v0 = interfaceByName("v0");
		ip("link delete v0");
		using program = Program.load(verdictSpec(kind, pass));
		assert.throws(() => hook.attach(v0, program), { code: "SYSCALL", message: /v0: ENODEV/ });
		assert.throws(() => hook.query(v0), { message: /ENODEV/ });
	});
}

test("programs at tcx run in the requested order, and a refused change leaves the list unchanged", () => {
	const v0 = interfaceByName("v0");
	const load = (name: string) => Program.load(verdictSpec("tc", TC_NEXT, name));
	using a = load("t_a");
	using b = load("t_b");
	using c = load("t_c");
	using d = load("t_d");
	const order = () => tcxIngress.query(v0).map(({ programId }) => programId);
	tcxIngress.attach(v0, a);
	tcxIngress.attach(v0, b, { position: "first" });
	tcxIngress.attach(v0, c, { position: { before: a.info.id } });
	const revision = tcxIngress.query(v0)[0]?.revision ?? 0n;
	tcxIngress.attach(v0, d, { position: { after: b.info.id }, expectedRevision: revision });
	assert.deepEqual(
		order(),
		[b, d, c, a].map(({ info }) => info.id),
	);
	using e = load("t_e");
	assert.throws(() => tcxIngress.attach(v0, e, { expectedRevision: revision }), {
		message: "attach program t_e to tcx ingress of v0: ESTALE (stale file handle)",
	});
	assert.throws(() => tcxIngress.attach(v0, a), { message: /EEXIST/ });
	assert.deepEqual(
		order(),
		[b, d, c, a].map(({ info }) => info.id),
	);
	const middle = tcxIngress.query(v0)[1];
	assert.ok(middle !== undefined);
	tcxIngress.replace(v0, middle, e);
	assert.deepEqual(
		order(),
		[b, e, c, a].map(({ info }) => info.id),
	);
});

const BPF_LINK_CREATE = 28;

test("a program that another process's link holds at tcx is refused with the link's id", () => {
	const v0 = interfaceByName("v0");
	using program = Program.load(verdictSpec("tc", TC_NEXT, "t_linked"));
	const attributes = new Uint8Array(64);
	new Uint32Array(attributes.buffer).set([program.fd, v0.index, BPF_ATTACH_TYPE.BPF_TCX_INGRESS]);
	const link = check(
		syscall(process.arch === "x64" ? 321 : 280, BPF_LINK_CREATE, attributes, attributes.length),
		"create a link",
	);
	try {
		const [attached] = tcxIngress.query(v0);
		assert.ok(attached?.linkId !== undefined);
		assert.equal(attached.programId, program.info.id);
		using other = Program.load(verdictSpec("tc", TC_NEXT, "t_other"));
		assert.throws(() => tcxIngress.replace(v0, attached, other), { message: /held by link \d+/ });
		assert.throws(() => tcxIngress.detach(v0, attached), { message: /held by link \d+/ });
		assert.deepEqual(tcxIngress.query(v0), [attached]);
	} finally {
		closeSync(link);
	}
	assert.deepEqual(tcxIngress.query(v0), []);
});

test("frames of a live test run arrive on the interface, and the program at tcx sees each of them", () => {
	const v0 = interfaceByName("v0");
	using counter = Program.load(countingSpec("tc", TC_NEXT));
	tcxIngress.attach(v0, counter);
	using pass = Program.load(verdictSpec("xdp", XDP_PASS));
	// Not IP, so the stack drops it after tc.
	const data = Uint8Array.from(
		{ length: 64 },
		(_, n) => [0xa5, 0x88, 0xb5][n === 12 ? 1 : n === 13 ? 2 : 0] ?? 0,
	);
	const context = XDP.encode({ data_end: data.length, ingress_ifindex: v0.index });
	const before = seen(counter.map("t_seen")).runs;
	const nanoseconds = sendLiveFrames(pass, { data, context, repeat: 5000 });
	assert.ok(nanoseconds > 0);
	const { runs, firstByte } = seen(counter.map("t_seen"));
	assert.equal(firstByte, 0xa5);
	assert.equal(runs - before, 5000);
});

for (const { hook, kind, pass } of HOOKS) {
	// Live frames enter after native XDP and do not leave the host.
	if (hook.name === xdpNative.name || hook.name.endsWith("egress")) continue;
	test(`no packet is missed while the program at ${hook.name} is replaced repeatedly`, async () => {
		const v0 = interfaceByName("v0");
		using counters = BpfMap.create(SEEN);
		const maps = new Map([[SEEN.name, counters]]);
		{
			using first = Program.load(countingSpec(kind, pass), { maps });
			hook.attach(v0, first);
		}
		const frames = 20_000;
		let expected = 0;
		let replaced = 0;
		// The scheduler decides how often a round meets the frames: continue until enough did.
		while (replaced < 5) {
			const start = expected;
			expected += frames;
			const sender = sendFrames(frames);
			while (!sender.ended) {
				using next = Program.load(countingSpec(kind, pass), { maps });
				const [current] = hook.query(v0);
				assert.ok(current !== undefined);
				hook.replace(v0, current, next);
				const { runs } = seen(counters);
				if (runs > start && runs < expected) replaced++;
				await setImmediate();
			}
			await sender.done;
			assert.equal(seen(counters).runs, expected);
		}
	});
}

/** Makes frames arrive on v0, sent by another process. */
function sendFrames(count: number): { readonly ended: boolean; readonly done: Promise<unknown> } {
	let ended = false;
	const done = runScript("packages/bpf/test/live-frames-sender.ts", "v0", String(count)).finally(() => {
		ended = true;
	});
	return {
		done,
		get ended() {
			return ended;
		},
	};
}

test("clsact keeps the filters of others, and its qdisc while they need it", () => {
	const v0 = interfaceByName("v0");
	run("tc", ..."qdisc add dev v0 clsact".split(" "));
	run("tc", ..."filter add dev v0 ingress prio 7 protocol ip u32 match u32 0 0".split(" "));
	using program = Program.load(countingSpec("tc", TC_NEXT));
	clsactIngress.attach(v0, program, { priority: 3 });
	const [ours, ...others] = clsactIngress.query(v0);
	assert.deepEqual(others, []);
	assert.ok(ours !== undefined);
	const { programId, priority, handle, protocol, name, directAction } = ours;
	assert.deepEqual(
		[programId, priority, handle, protocol, name, directAction],
		[program.info.id, 3, 1, 3, "t_count", true],
	);
	assert.throws(() => clsactIngress.attach(v0, program, { priority: 3 }), { message: /EEXIST|exists/ });
	assert.match(
		run("tc", ..."filter show dev v0 ingress".split(" ")),
		/pref 3 bpf.*t_count direct-action.*pref 7/s,
	);
	ping();
	assert.ok(seen(program.map("t_seen")).runs >= 1);
	clsactIngress.detach(v0, ours);
	assert.equal(removeEmptyClsact(v0), false);
	run("tc", ..."filter delete dev v0 ingress prio 7".split(" "));
	assert.equal(removeEmptyClsact(v0), true);
	assert.doesNotMatch(run("tc", ..."qdisc show dev v0".split(" ")), /clsact/);
	assert.equal(removeEmptyClsact(v0), false);
});

test("a program that asks to be first in clsact runs before all others, whatever their priorities", () => {
	const v0 = interfaceByName("v0");
	const load = (name: string) => Program.load(verdictSpec("tc", TC_NEXT, name));
	const order = () => clsactIngress.query(v0).map(({ name, priority }) => `${name} ${priority}`);
	using a = load("t_a");
	clsactIngress.attach(v0, a, { priority: "first" });
	using b = load("t_b");
	clsactIngress.attach(v0, b, { priority: 3 });
	run("tc", ..."filter add dev v0 ingress pref 2 protocol ip u32 match u32 0 0".split(" "));
	using c = load("t_c");
	clsactIngress.attach(v0, c, { priority: "first" });
	assert.deepEqual(order(), ["t_c 3", "t_b 3", "t_a 49152"]);
	run("tc", ..."filter del dev v0 ingress pref 2".split(" "));
	for (const name of ["t_d", "t_e", "t_f"]) {
		using program = load(name);
		clsactIngress.attach(v0, program, { priority: "first" });
	}
	assert.deepEqual(order(), ["t_f 1", "t_e 1", "t_d 2", "t_c 3", "t_b 3", "t_a 49152"]);
	const [, second] = clsactIngress.query(v0);
	assert.ok(second !== undefined);
	using counting = Program.load(countingSpec("tc", TC_NEXT));
	clsactIngress.replace(v0, second, counting);
	ping();
	assert.ok(seen(counting.map("t_seen")).runs > 0);
	for (;;) {
		const [first] = clsactIngress.query(v0);
		if (first === undefined) break;
		clsactIngress.detach(v0, first);
	}
	assert.equal(removeEmptyClsact(v0), true);
});

test("a program that clsact refuses leaves no qdisc behind", () => {
	const v0 = interfaceByName("v0");
	using wrong = Program.load(verdictSpec("xdp", XDP_PASS));
	assert.throws(() => clsactIngress.attach(v0, wrong), {
		message: /t_verdict to clsact ingress of v0: EINVAL/,
	});
	assert.doesNotMatch(run("tc", ..."qdisc show dev v0".split(" ")), /clsact/);
});

test("a plain ingress qdisc works in place of clsact", () => {
	const v0 = interfaceByName("v0");
	run("tc", ..."qdisc add dev v0 ingress".split(" "));
	using program = Program.load(countingSpec("tc", TC_NEXT));
	clsactIngress.attach(v0, program);
	ping();
	assert.ok(seen(program.map("t_seen")).runs >= 1);
	const [ours] = clsactIngress.query(v0);
	assert.ok(ours !== undefined);
	clsactIngress.detach(v0, ours);
	assert.equal(removeEmptyClsact(v0), false);
});

test("a plain ingress qdisc prevents attaching a program to egress", () => {
	const v0 = interfaceByName("v0");
	run("tc", ..."qdisc add dev v0 ingress".split(" "));
	using program = Program.load(verdictSpec("tc", TC_NEXT));
	assert.throws(() => clsactEgress.attach(v0, program), {
		code: "HELD",
		message: "add a clsact qdisc to v0: it has an ingress qdisc, which excludes clsact",
	});
});

test("a program at egress sees the packets that this host sends, one at ingress those that it receives", () => {
	const v0 = interfaceByName("v0");
	using out = Program.load(countingSpec("tc", TC_NEXT, "t_out"));
	using link = TcxLink.attach(v0, out, { direction: "egress" });
	assert.ok(link !== undefined);
	const [attached] = tcxEgress.query(v0);
	assert.equal(attached?.programId, out.info.id);
	assert.deepEqual(tcxIngress.query(v0), []);
	ping();
	assert.ok(seen(out.map("t_seen")).runs >= 1);
});

test("native XDP on a veth with jumbo frames accepts only a program that takes fragments", () => {
	const v0 = interfaceByName("v0");
	ip("link set v0 mtu 9000");
	peer.ip("link set v1 mtu 9000");
	using plain = Program.load(verdictSpec("xdp", XDP_PASS, "t_plain"));
	assert.throws(() => xdpNative.attach(v0, plain), { message: /t_plain to XDP of v0: / });
	using fragments = Program.load({ ...verdictSpec("xdp", XDP_PASS, "t_frags"), takesFragments: true });
	xdpNative.attach(v0, fragments);
	assert.equal(xdpNative.query(v0).length, 1);
});

test("an interface takes one XDP program, whichever process attached it", () => {
	const v0 = interfaceByName("v0");
	using one = Program.load(verdictSpec("xdp", XDP_PASS, "t_one"));
	using two = Program.load(verdictSpec("xdp", XDP_PASS, "t_two"));
	xdpNative.attach(v0, one);
	assert.throws(() => xdpNative.attach(v0, two), { message: /t_two to XDP of v0: (EBUSY|EEXIST)/ });
	assert.throws(() => xdpGeneric.attach(v0, two), { message: /t_two to generic XDP of v0: (EBUSY|EEXIST)/ });
	assert.deepEqual(xdpGeneric.query(v0), []);
	assert.deepEqual(xdpNative.query(v0), [{ programId: one.info.id }]);
});

test("native XDP on a driver without it is refused with an alternative", () => {
	ip("link add bridge0 type bridge");
	using program = Program.load(verdictSpec("xdp", XDP_PASS));
	assert.throws(() => xdpNative.attach(interfaceByName("bridge0"), program), {
		code: "FEATURE",
		message: "attach program t_verdict to XDP of bridge0: the driver of this interface has no XDP",
	});
});

const TUNSETIFF = 0x4004_54ca;
const IFF_TUN = 1;
const IFF_NO_PI = 0x1000;
const ioctl = libcFunction<[fd: number, request: number, argument: Uint8Array]>(
	"int ioctl(int fd, unsigned long request, void *argument)",
);

/** Makes a packet of 20 bytes arrive on a new tun device. */
function arriveOnTun(name: string, whenUp: (tun: NetInterface) => void): void {
	const fd = openSync("/dev/net/tun", "r+");
	try {
		const request = Buffer.alloc(40);
		request.write(name, 0, "ascii");
		request.writeUInt16LE(IFF_TUN | IFF_NO_PI, 16);
		check(ioctl(fd, TUNSETIFF, request), `create ${name}`);
		ip(`link set ${name} up`);
		whenUp(interfaceByName(name));
		writeSync(fd, Buffer.from("450000140001000040fd0000c0000201c6336407", "hex"));
	} finally {
		closeSync(fd);
	}
}

for (const [hook, pass] of [
	[tcxIngress, TC_NEXT],
	[clsactIngress, TC_OK],
] as const) {
	test(`a packet from a device without link-layer header starts at the network header at ${hook.name}`, async () => {
		using program = Program.load(countingSpec("tc", pass));
		arriveOnTun("tun0", (tun) => {
			assert.equal(tun.ethernet, false);
			hook.attach(tun, program);
		});
		await waitFor("packet", () => seen(program.map("t_seen")).firstByte === 0x45);
	});
}

test("tcx works on the loopback", () => {
	const lo = interfaceByName("lo");
	using program = Program.load(countingSpec("tc", TC_NEXT));
	tcxIngress.attach(lo, program);
	run("ping", "-n", "-c", "1", "-W", "5", "127.0.0.1");
	assert.ok(seen(program.map("t_seen")).runs >= 2);
	const [ours] = tcxIngress.query(lo);
	assert.ok(ours !== undefined);
	tcxIngress.detach(lo, ours);
});
