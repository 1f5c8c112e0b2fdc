/** Where the director runs: XDP and tc, other programs there, and interfaces that refuse it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Program, ProgramBuilder, tcxIngress, XDP_ACTION, xdpNative } from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns, ip, run, waitFor } from "../../../../test/support/netns.ts";
import { Director } from "../../src/balance/kernel/director.ts";
import { L3dsrError } from "../../src/errors.ts";
import { directorDrift } from "../../src/plan/director-drift.ts";
import { ethernet, ipv4, tcp } from "../packets/build.ts";
import { flowFrames, reals, realsOf, SYN, sendFlows } from "./flows.ts";
import { DIRECTOR, DIRECTOR_MAC, real, SETTINGS, VIP, Wire, wishOf } from "./wire.ts";

enterNetns();
failOnLeaks();

test("a foreign XDP program is left in place, and nothing of ours is left behind", () => {
	using _wire = new Wire(10);
	const p = new ProgramBuilder({ name: "other", type: "BPF_PROG_TYPE_XDP" });
	p.exit(XDP_ACTION.PASS);
	using other = Program.load(p.build());
	xdpNative.attach(interfaceByName(DIRECTOR), other);
	using director = Director.open();
	assert.throws(
		() => director.apply(wishOf(reals(2)), SETTINGS),
		(error) => {
			assert.ok(error instanceof L3dsrError);
			assert.match(
				error.message,
				/attach the director of dir0 to XDP: program other \(id \d+\) is at XDP, and an interface has one XDP program/,
			);
			return true;
		},
	);
	assert.equal(director.isRunning, false);
	assert.deepEqual(xdpNative.query(interfaceByName(DIRECTOR)), [{ programId: other.info.id }]);
});

test("an interface whose packets may come without checksums is refused unless accepted", () => {
	using _wire = new Wire(10);
	using director = Director.open();
	assert.throws(
		() => director.apply(wishOf(reals(1)), { ...SETTINGS, openChecksums: "refuse" }),
		/veth interface may arrive without their checksum/,
	);
	assert.equal(director.isRunning, false);
});

test("at tc the kernel routes the rewritten packets, and decrements the hop limit", () => {
	using wire = new Wire(10);
	run("sysctl", "-qw", "net.ipv4.ip_forward=1");
	run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.dir0.rp_filter=0");
	ip(`route add 198.51.0.0/16 via 10.9.0.254`);
	using director = Director.open();
	const change = director.apply(wishOf([real(1)]), { ...SETTINGS, hook: "tc", forward: "kernel" });
	assert.deepEqual(change.attached, [DIRECTOR]);
	assert.deepEqual(
		director.status().programs.map(({ hook }) => hook),
		["tcx"],
	);
	const [back] = wire.exchange(flowFrames(1, SYN));
	assert.ok(back !== undefined);
	assert.deepEqual([...back.subarray(0, 6)], [2, 0, 0, 0, 0, 0xfe]);
	assert.deepEqual([back[15], back[22]], [7 << 2, 63]);
	assert.deepEqual(realsOf([back]), [1]);
	assert.deepEqual(director.detach(), [DIRECTOR]);
	assert.equal(Director.open().isRunning, false);
});

test("at tc a frame with a VLAN tag goes to the kernel as it came, although the kernel has taken the tag off", async () => {
	using wire = new Wire(10);
	using director = Director.open();
	director.apply(wishOf([real(1)]), { ...SETTINGS, hook: "tc", forward: "kernel" });
	const packet = ipv4({ source: "198.51.0.1", destination: VIP[0] }, tcp({ destinationPort: 80 }));
	const tagged = (...ids: readonly number[]) =>
		ethernet({ destination: DIRECTOR_MAC, vlans: ids.map((id) => ({ id })) }, packet);
	const frames = [tagged(5), tagged(0), tagged(5, 6)];
	wire.send(frames);
	await waitFor("the tagged frames", () => director.status().reasons.vlan === 3n);
	const counted = director.status().services.flatMap(({ reals }) => reals.map((one) => one.counters.packets));
	assert.ok(counted.every((packets) => packets === 0n));
	for (const frame of frames) assert.equal(director.explain(frame, DIRECTOR)?.reason, "vlan");
	director.detach();
});

test("at tc a director that others have got in front of is drift, and goes in front again", () => {
	using wire = new Wire(10);
	run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0");
	run("sysctl", "-qw", "net.ipv4.conf.dir0.rp_filter=0");
	ip(`route add 198.51.0.0/16 via 10.9.0.254`);
	const settings = { ...SETTINGS, hook: "tc", forward: "kernel" } as const;
	const wish = wishOf([real(1)]);
	using director = Director.open();
	director.apply(wish, settings);
	const mark = director.mark();
	const on = interfaceByName(DIRECTOR);
	const p = new ProgramBuilder({ name: "accepts", type: "BPF_PROG_TYPE_SCHED_CLS" });
	p.exit(0);
	using other = Program.load(p.build());
	tcxIngress.attach(on, other, { position: "first" });
	using watcher = Director.open();
	assert.notEqual(watcher.mark(), mark);
	const plan = watcher.plan(wish, settings);
	assert.deepEqual(directorDrift(plan), [
		{
			kind: "director",
			object: "the director at dir0",
			problem: `runs behind accepts (id ${other.info.id}), which may withhold packets from it`,
		},
	]);
	watcher.apply(wish, settings);
	const order = tcxIngress.query(on).map(({ programId }) => programId);
	assert.equal(order.length, 2);
	assert.equal(order[1], other.info.id);
	assert.deepEqual(realsOf(wire.exchange(flowFrames(1, SYN))), [1]);
	assert.deepEqual(directorDrift(watcher.plan(wish, settings)), []);
	watcher.detach();
});

test("generic XDP and native XDP direct alike", () => {
	using wire = new Wire(10);
	const got = (["xdp", "xdp-generic"] as const).map((hook) => {
		using director = Director.open();
		// From one to the other, without a stop in between.
		assert.deepEqual(director.apply(wishOf(reals(3)), { ...SETTINGS, hook }).attached, [DIRECTOR]);
		assert.deepEqual(
			director.status().programs.map((one) => one.hook),
			[hook],
		);
		return sendFlows(wire, flowFrames(60, SYN));
	});
	assert.deepEqual(got[0], got[1]);
	using director = Director.open();
	director.apply(wishOf(reals(3)), { ...SETTINGS, hook: "tc", forward: "kernel" });
	assert.deepEqual(
		director.status().programs.map((one) => one.hook),
		["tcx"],
	);
	assert.deepEqual(director.detach(), [DIRECTOR]);
});

test("if one of two interfaces refuses its program, the other one is unchanged", () => {
	using wire = new Wire(10);
	ip("link add dir1 type veth peer name wire1");
	ip("link set dir1 up");
	const p = new ProgramBuilder({ name: "other", type: "BPF_PROG_TYPE_XDP" });
	p.exit(XDP_ACTION.PASS);
	using other = Program.load(p.build());
	xdpNative.attach(interfaceByName("dir1"), other);
	const both = { ...SETTINGS, interfaces: [DIRECTOR, "dir1"] };
	using director = Director.open();
	assert.throws(() => director.apply(wishOf(reals(2)), both), /attach the director of dir1 to XDP/);
	assert.deepEqual(xdpNative.query(interfaceByName(DIRECTOR)), []);
	director.apply(wishOf(reals(2)), SETTINGS);
	const [before] = director.status().programs;
	assert.throws(
		() => director.apply(wishOf(reals(2), { services: [] }), both),
		/attach the director of dir1 to XDP/,
	);
	assert.deepEqual(xdpNative.query(interfaceByName(DIRECTOR)), [{ programId: before?.id }]);
	assert.ok(sendFlows(wire, flowFrames(20, SYN)).every((one) => one === 1 || one === 2));
	xdpNative.detach(interfaceByName("dir1"), { programId: other.info.id });
	assert.deepEqual(director.apply(wishOf(reals(2)), both).attached, ["dir1"]);
	assert.deepEqual(director.detach().toSorted(), [DIRECTOR, "dir1"]);
	ip("link delete dir1");
});
