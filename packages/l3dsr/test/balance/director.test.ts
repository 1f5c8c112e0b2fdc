/**
 * The director in the kernel: changes, takeover, next hops, counters; with packets across a real interface.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Program, ProgramBuilder, tcxIngress, XDP_ACTION, xdpNative } from "@l3dsr/bpf";
import { interfaceByName, PacketSocket } from "@l3dsr/linux";
import { portOf } from "@l3dsr/packet";
import { failOnLeaks } from "../../../../test/support/leak.ts";
import { enterNetns, ip, run, waitFor } from "../../../../test/support/netns.ts";
import { currentTick, ticksOf } from "../../src/balance/kernel/clock.ts";
import { Director } from "../../src/balance/kernel/director.ts";
import { RING_SLOTS } from "../../src/balance/ring.ts";
import { L3dsrError } from "../../src/errors.ts";
import { directorDrift } from "../../src/plan/director-drift.ts";
import { bytesOf, ethernet, ipv4, ipv6, tcp, udp } from "../packets/build.ts";
import { fragmentOf } from "../packets/fragment.ts";
import { DIRECTOR, DIRECTOR_MAC, ROUTER_MAC, real, SETTINGS, VIP, WIRE, Wire, wishOf } from "./wire.ts";

enterNetns();
failOnLeaks();

const SYN = 0x02;
const ACK = 0x10;

/** One frame for each of `flows` TCP flows of one family. */
function flowFrames(flows: number, flags: number, family: "ipv4" | "ipv6" = "ipv4"): Uint8Array[] {
	return Array.from({ length: flows }, (_, n) => {
		const segment = tcp({ sourcePort: 1024 + (n % 60000), destinationPort: 80, data: "" });
		const payload = {
			protocol: 6,
			encode: (pseudo: Parameters<typeof segment.encode>[0]) => {
				const bytes = segment.encode(pseudo);
				bytes[13] = flags;
				return bytes;
			},
		};
		const packet =
			family === "ipv4"
				? ipv4({ source: `198.51.${n >> 8}.${n & 255 || 1}`, destination: VIP[0] }, payload)
				: ipv6({ source: `2001:db8:c::${n.toString(16)}`, destination: VIP[1] }, payload);
		return ethernet({ destination: DIRECTOR_MAC }, packet);
	});
}

/** The real server that got the packet: the last byte of its address. */
function realsOf(frames: readonly Uint8Array[]): number[] {
	return frames.map((frame) => frame[(frame[12] ?? 0) === 0x86 ? 14 + 39 : 14 + 19] ?? 0);
}

/** The real servers of flows that stay in order on the wire. */
function sendFlows(wire: Wire, frames: readonly Uint8Array[]): number[] {
	const result: number[] = [];
	for (let at = 0; at < frames.length; at += 64) {
		const some = frames.slice(at, at + 64);
		const back = wire.exchange(some);
		assert.equal(back.length, some.length, "frames that came back");
		result.push(...realsOf(back));
	}
	return result;
}

/** The first or the last fragment of each of `count` datagrams of as many flows. */
function fragments(count: number, which: "first" | "last"): Uint8Array[] {
	return Array.from({ length: count }, (_, n) => {
		const data = "x".repeat(40);
		const whole = ipv4(
			{ destination: VIP[0], id: 1000 + n },
			udp({ sourcePort: 3000 + n, destinationPort: 80, data }),
		);
		const [from, to] = which === "first" ? [0, 24] : [24, 48];
		return ethernet({ destination: DIRECTOR_MAC }, fragmentOf(bytesOf(whole), from, to));
	});
}

const reals = (count: number) => Array.from({ length: count }, (_, i) => real(i + 1));

test("frames for a VIP leave with the real server's address, the DSCP, one hop less and the router's MAC", () => {
	using wire = new Wire(10);
	using director = Director.open();
	assert.equal(director.isRunning, false);
	const change = director.apply(wishOf(reals(2)), SETTINGS);
	assert.deepEqual(change.attached, [DIRECTOR]);
	assert.deepEqual([change.unresolved, change.unreachable], [[], []]);
	assert.equal(director.isRunning, true);
	for (const family of ["ipv4", "ipv6"] as const) {
		const [back] = wire.exchange(flowFrames(1, SYN, family));
		assert.ok(back !== undefined);
		const [to] = realsOf([back]);
		assert.ok(to === 1 || to === 2, `real server ${to}`);
		const segment = tcp({ sourcePort: 1024, destinationPort: 80, data: "" });
		const expected =
			family === "ipv4"
				? ipv4({ source: "198.51.0.1", destination: `10.1.0.${to}`, dscp: 7, ttl: 63 }, segment)
				: ipv6({ source: "2001:db8:c::0", destination: `2001:db8:1::${to}`, dscp: 7, hopLimit: 63 }, segment);
		const frame = bytesOf(ethernet({ destination: ROUTER_MAC, source: DIRECTOR_MAC }, expected));
		const flagsAt = 14 + (family === "ipv4" ? 20 : 40) + 13;
		// The flags differ from those under the checksum, in the same way on both sides.
		frame[flagsAt] = SYN;
		assert.deepEqual(Buffer.from(back).toString("hex"), Buffer.from(frame).toString("hex"));
	}
	assert.deepEqual(director.detach(), [DIRECTOR]);
});

test("flows are spread over the real servers and stay with them", () => {
	using wire = new Wire(10);
	using director = Director.open();
	director.apply(wishOf(reals(4)), SETTINGS);
	const first = sendFlows(wire, flowFrames(400, SYN));
	const again = sendFlows(wire, flowFrames(400, ACK));
	assert.deepEqual(again, first);
	for (const n of [1, 2, 3, 4])
		assert.ok(first.filter((one) => one === n).length > 60, `real server ${n} got too little`);
	const { services } = director.status();
	const tcp4 = services.find(({ service }) => service.protocol === 6 && service.address.family === "ipv4");
	assert.deepEqual(
		tcp4?.reals.map(({ counters }) => Number(counters.packets)),
		[1, 2, 3, 4].map((n) => 2 * first.filter((one) => one === n).length),
	);
	director.detach();
});

test("a director's mark stays the same while packets are counted, and changes with everything a plan depends on", () => {
	using wire = new Wire(10);
	using director = Director.open();
	assert.equal(director.mark(), undefined, "nothing runs");
	const marks: (string | undefined)[] = [];
	const mark = (what: string) => {
		const found = director.mark();
		assert.ok(found !== undefined && !marks.includes(found), what);
		marks.push(found);
	};
	director.apply(wishOf(reals(5)), SETTINGS);
	mark("it runs");
	sendFlows(wire, flowFrames(300, ACK));
	assert.equal(director.mark(), marks[0]);
	using other = Director.open();
	assert.equal(other.mark(), marks[0], "in another process");
	other.apply(
		wishOf(reals(5), {}, (_service, _pool, name) => name !== "r3"),
		SETTINGS,
	);
	mark("one has died");
	other.apply(wishOf(reals(4)), SETTINGS);
	mark("one has left");
	other.apply(wishOf([real(1, { weight: 5 }), ...reals(4).slice(1)]), SETTINGS);
	mark("a weight has changed");
	other.apply(wishOf(reals(4)), { ...SETTINGS, bleach: !SETTINGS.bleach });
	director.findAgain();
	mark("another program runs");
	director.detach();
	assert.equal(director.mark(), undefined, "nothing runs any more");
});

test("a real server's death moves only its own flows; after its recovery it gets new ones, the others stay", () => {
	using wire = new Wire(10);
	using director = Director.open();
	director.apply(wishOf(reals(5)), SETTINGS);
	const before = sendFlows(wire, flowFrames(300, ACK));
	const dead = wishOf(reals(5), {}, (_service, _pool, name) => name !== "r3");
	const change = director.apply(dead, SETTINGS);
	assert.deepEqual(change.attached, [], "no program is replaced");
	assert.ok(change.services.every(({ inTransition }) => !inTransition));
	const during = sendFlows(wire, flowFrames(300, ACK));
	before.forEach((one, flow) => {
		if (one === 3) assert.notEqual(during[flow], 3);
		else assert.equal(during[flow], one);
	});
	const back = director.apply(wishOf(reals(5)), SETTINGS);
	assert.ok(back.services.every(({ inTransition }) => inTransition));
	assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), during, "established flows stay");
	assert.deepEqual(sendFlows(wire, flowFrames(300, SYN)), before, "new flows go where they went at first");
	assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), before, "and stay there: they have entries");
	director.detach();
});

for (const [what, after] of [
	["one is added", (all: ReturnType<typeof real>[]) => [...all, real(9)]],
	["one is removed", (all: ReturnType<typeof real>[]) => all.slice(1)],
	["one drains", (all: ReturnType<typeof real>[]) => [real(1, { state: "drain" }), ...all.slice(1)]],
	["weights change", (all: ReturnType<typeof real>[]) => [real(1, { weight: 5 }), ...all.slice(1)]],
	["every one is exchanged", () => [real(11), real(12), real(13)]],
] as const) {
	test(`established flows stay with their real servers when ${what}, until the drain is over`, () => {
		using wire = new Wire(20);
		using director = Director.open();
		director.apply(wishOf(reals(4)), SETTINGS);
		const before = sendFlows(wire, flowFrames(300, ACK));
		director.apply(wishOf(after(reals(4))), SETTINGS);
		assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), before, "known flows");
		const fresh = sendFlows(wire, flowFrames(300, SYN));
		assert.notDeepEqual(fresh, before);
		assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), fresh, "flows that began meanwhile");
		assert.equal(director.endDrains(), 0, "the drain is not over");
		const over = currentTick() + ticksOf(900_000) + 1;
		assert.ok(director.endDrains(over) > 0);
		assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), fresh, "after the drain");
		const { services } = director.status();
		assert.ok(
			services.every(
				({ transition, reals: all }) => transition === undefined && all.every(({ leaving }) => !leaving),
			),
		);
		director.detach();
	});
}

test("after each death and recovery among several services, a process has nothing left to do", () => {
	using _wire = new Wire(10);
	using director = Director.open();
	const services = [80, 443].map((port) => ({
		port: portOf(port),
		protocols: ["tcp"] as const,
		pool: "front",
		affinity: "flow" as const,
	}));
	const wish = (dead: readonly string[]) =>
		wishOf(reals(4), { services }, ({ address, port }, _pool, name) => {
			return !dead.includes(`${name} ${address.family} ${port}`);
		});
	director.apply(wish([]), SETTINGS);
	const events: readonly (readonly string[])[] = [
		["r1 ipv4 80"],
		["r1 ipv4 80", "r2 ipv6 443"],
		["r2 ipv6 443", "r3 ipv6 443"],
		["r3 ipv6 443"],
		[],
	];
	for (const dead of events) {
		const change = director.apply(wish(dead), SETTINGS);
		assert.equal(change.services.length, dead.length === 2 && dead[0] === "r2 ipv6 443" ? 2 : 1, `${dead}`);
		using other = Director.open();
		assert.deepEqual(other.plan(wish(dead), SETTINGS).services, [], `after ${dead}`);
		for (const { service, reals: all } of director.status().services) {
			const down = all.flatMap(({ slots }, n) => (slots === 0 ? [`r${n + 1}`] : []));
			const wanted = dead.filter((one) => one.endsWith(` ${service.address.family} ${service.port}`));
			assert.deepEqual(
				down,
				wanted.map((one) => one.split(" ")[0]),
				`slots after ${dead}`,
			);
		}
	}
	director.detach();
});

test("two changes in one drain keep the flows of the first real servers and those that began in between", () => {
	using wire = new Wire(20);
	using director = Director.open();
	director.apply(wishOf([real(1)]), SETTINGS);
	const frames = flowFrames(200, ACK);
	assert.ok(sendFlows(wire, frames).every((one) => one === 1));
	director.apply(wishOf([real(2)]), SETTINGS);
	const second = flowFrames(100, SYN).map((frame) => frame.slice());
	assert.ok(sendFlows(wire, second).every((one) => one === 2));
	director.apply(wishOf([real(3)]), SETTINGS);
	const now = sendFlows(wire, frames);
	assert.ok(
		now.slice(0, 100).every((one) => one === 2),
		"began with the second",
	);
	assert.ok(
		now.slice(100).every((one) => one === 1),
		"began with the first",
	);
	director.detach();
});

test("UDP flows in changed slots stay with their real server", () => {
	using wire = new Wire(20);
	using director = Director.open();
	director.apply(wishOf([real(1)]), SETTINGS);
	director.apply(wishOf([real(2)]), SETTINGS);
	const datagrams = Array.from({ length: 50 }, (_, n) =>
		ethernet({ destination: DIRECTOR_MAC }, ipv4({ destination: VIP[0] }, udp({ sourcePort: 2000 + n }))),
	);
	assert.ok(sendFlows(wire, datagrams).every((one) => one === 1));
	director.detach();
});

test("later fragments do not follow a real server whose number another service has got", () => {
	using wire = new Wire(20);
	using director = Director.open();
	const on = (port: number, ...protocols: readonly ("tcp" | "udp")[]) =>
		({ port: portOf(port), protocols, pool: "front", affinity: "flow" }) as const;
	director.apply(wishOf(reals(1), { services: [on(80, "tcp", "udp")] }), SETTINGS);
	assert.deepEqual(sendFlows(wire, fragments(10, "first")), Array(10).fill(1));
	director.apply(wishOf(reals(1), { services: [on(80, "tcp")] }), SETTINGS);
	director.apply(wishOf([real(1), real(9)], { services: [on(80, "tcp"), on(81, "tcp")] }), SETTINGS);
	assert.deepEqual(realsOf(wire.exchange(fragments(10, "last"))), []);
	director.detach();
});

test("another process finds the running director in the middle of a transition, and continues", () => {
	using wire = new Wire(20);
	let before: number[];
	let ids: readonly number[];
	{
		using first = Director.open();
		first.apply(wishOf(reals(4)), SETTINGS);
		before = sendFlows(wire, flowFrames(300, ACK));
		first.apply(wishOf(reals(3)), SETTINGS);
		ids = first.status().programs.map(({ id }) => id);
	}
	// The process is gone, the program is not.
	assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), before);
	using second = Director.open();
	assert.equal(second.isRunning, true);
	const status = second.status();
	assert.deepEqual(
		status.programs.map(({ id }) => id),
		ids,
	);
	assert.equal(status.services.length, 4);
	assert.ok(status.services.every(({ transition }) => (transition?.slots ?? 0) > RING_SLOTS / 5));
	assert.equal(second.endDrains(currentTick() + 10_000), 0, "how long a drain takes is in the wish");
	const change = second.apply(wishOf(reals(3)), SETTINGS);
	assert.deepEqual(change.attached, [], "the program that runs is the wanted one");
	assert.deepEqual(
		change.services.map(({ moved }) => moved),
		[0, 0, 0, 0],
	);
	assert.deepEqual(sendFlows(wire, flowFrames(300, ACK)), before);
	assert.ok(second.endDrains(currentTick() + ticksOf(900_000) + 1) > 0);
	second.detach();
});

test("a change of VIPs replaces the program and keeps flows, transitions and counters", () => {
	using wire = new Wire(20);
	using director = Director.open();
	director.apply(wishOf(reals(4)), SETTINGS);
	const before = sendFlows(wire, flowFrames(200, ACK));
	director.apply(wishOf(reals(3)), SETTINGS);
	const counted = director
		.status()
		.services.map(({ reals: all }) => all.map(({ counters }) => counters.packets));
	const vip = {
		services: [80, 443].map(
			(port) => ({ port: portOf(port), protocols: ["tcp", "udp"], pool: "front", affinity: "flow" }) as const,
		),
	};
	const change = director.apply(wishOf(reals(3), vip), SETTINGS);
	assert.deepEqual(change.attached, [DIRECTOR]);
	const { services } = director.status();
	assert.equal(services.length, 8);
	const old = services.filter(({ service }) => service.port === 80);
	assert.deepEqual(
		old.map(({ reals: all }) => all.map(({ counters }) => counters.packets)).sort(),
		counted.sort(),
	);
	assert.deepEqual(sendFlows(wire, flowFrames(200, ACK)), before, "flows of the real server that has left");
	director.apply(wishOf(reals(3)), SETTINGS);
	assert.equal(director.status().services.length, 4);
	assert.deepEqual(sendFlows(wire, flowFrames(200, ACK)), before);
	director.detach();
});

const GROWTHS = {
	"real servers": wishOf([...reals(2), ...Array.from({ length: 200 }, (_, n) => real(n + 4))]),
	services: wishOf([...reals(2), real(4)], {
		services: Array.from({ length: 5 }, (_, n) => ({
			port: portOf(80 + n),
			protocols: ["tcp", "udp"],
			pool: "front",
			affinity: "flow",
		})),
	}),
};
for (const [what, grown] of Object.entries(GROWTHS)) {
	test(`tables without room for more ${what} are replaced by larger ones, with flows, transitions and counters`, () => {
		using wire = new Wire(250);
		using director = Director.open();
		director.apply(wishOf(reals(3)), SETTINGS);
		const before = sendFlows(wire, flowFrames(200, ACK));
		director.apply(wishOf([...reals(2), real(4)]), SETTINGS);
		const firsts = sendFlows(wire, fragments(60, "first"));
		const change = director.apply(grown, SETTINGS);
		assert.deepEqual(change.attached, [DIRECTOR]);
		assert.deepEqual(sendFlows(wire, fragments(60, "last")), firsts, "later fragments");
		assert.deepEqual(sendFlows(wire, flowFrames(200, ACK)), before, "known flows");
		const { services } = director.status();
		const tcp4 = services.find(
			({ service }) => service.protocol === 6 && service.port === 80 && service.address.family === "ipv4",
		);
		const total = tcp4?.reals.reduce((sum, { counters }) => sum + Number(counters.packets), 0);
		assert.equal(total, 400);
		assert.ok(
			tcp4?.reals.some(({ leaving }) => leaving),
			"the real server that left",
		);
		director.detach();
	});
}

test("a real server that returns with another's number starts to count at zero", () => {
	using wire = new Wire(20);
	using director = Director.open();
	director.apply(wishOf([real(1)]), SETTINGS);
	sendFlows(wire, flowFrames(30, SYN));
	director.apply(wishOf([real(2)]), SETTINGS);
	director.endDrains(currentTick() + ticksOf(900_000) + 1);
	director.apply(wishOf([real(3)]), SETTINGS);
	const found = director.status().services.flatMap(({ reals: all }) => all);
	assert.deepEqual(
		found.filter(({ address }) => address.text === "10.1.0.1"),
		[],
	);
	for (const { address, counters } of found.filter(({ address }) => address.text === "10.1.0.3"))
		assert.equal(counters.packets, 0n, address.text);
	director.detach();
});

test("refreshNextHops() follows a changed next hop; without one it asks the kernel's table, then the kernel", async () => {
	using wire = new Wire(20);
	using director = Director.open();
	director.apply(wishOf([real(1)]), SETTINGS);
	const macOf = (frames: readonly Uint8Array[]) =>
		frames.map((frame) => Buffer.from(frame.subarray(0, 6)).toString("hex"));
	const [frame] = flowFrames(1, ACK);
	assert.ok(frame !== undefined);
	assert.deepEqual(macOf(wire.exchange([frame])), ["0200000000fe"]);
	ip(`neigh replace 10.9.0.254 lladdr 02:00:00:00:00:fd dev ${DIRECTOR} nud permanent`);
	assert.equal(director.refreshNextHops().changed, 2, "TCP and UDP of one family");
	assert.deepEqual(macOf(wire.exchange([frame])), ["0200000000fd"]);
	assert.equal(director.refreshNextHops().changed, 0);

	ip(`neigh del 10.9.0.254 dev ${DIRECTOR}`);
	const lost = director.refreshNextHops();
	assert.deepEqual(
		lost.unresolved.map(({ text }) => text),
		["10.1.0.1"],
	);
	// The kernel resolves the router; until then it keeps or drops frames.
	const before = director.status().reasons["by-kernel"];
	wire.send([frame]);
	await waitFor("the packet that went to the kernel", () => director.status().reasons["by-kernel"] > before);
	// The program itself finds a neighbour that the tables do not have yet.
	run("sysctl", "-qw", "net.ipv4.ip_forward=1");
	ip(`neigh replace 10.9.0.254 lladdr ${ROUTER_MAC} dev ${DIRECTOR} nud permanent`);
	assert.deepEqual(macOf(wire.exchange([frame], 1000)), ["0200000000fe"]);
	director.detach();
});

test("next hops stay when the interface gets another name, or is configured by an alternative one", () => {
	using _wire = new Wire(10);
	ip(`link property add dev ${DIRECTOR} altname uplink0`);
	using director = Director.open();
	director.apply(wishOf(reals(2)), { ...SETTINGS, interfaces: ["uplink0"] });
	const hops = () => director.status().services.flatMap(({ reals: all }) => all.map(({ hop }) => hop.to));
	assert.deepEqual([...new Set(hops())], ["interface"]);
	assert.equal(director.needsUpkeep(), false);
	ip(`link set ${DIRECTOR} name renamed0`);
	try {
		assert.equal(director.refreshNextHops().changed, 0);
		using other = Director.open();
		assert.equal(other.refreshNextHops().changed, 0);
	} finally {
		ip(`link set renamed0 name ${DIRECTOR}`);
	}
	director.detach();
});

test("without a next hop, a packet larger than the route's MTU goes to the kernel as it came", async () => {
	using wire = new Wire();
	run("sysctl", "-qw", "net.ipv4.ip_forward=1");
	ip(`route add 10.1.0.0/24 via 10.9.0.253 mtu lock 1000`);
	ip(`route add 198.51.0.0/16 via 10.9.0.254`);
	using director = Director.open();
	director.apply(wishOf([real(1)]), SETTINGS);
	using capture = new PacketSocket({ interfaceName: WIRE, ignoreOutgoing: true });
	const large = ethernet(
		{ destination: DIRECTOR_MAC },
		ipv4({ source: "198.51.0.1", destination: VIP[0], dontFragment: true }, tcp({ data: "x".repeat(1200) })),
	);
	wire.send([large]);
	await waitFor("the packet that is too big", () => director.status().reasons["too-big"] === 1n);
	assert.equal(director.status().reasons["by-kernel"], 0n);
	const real1 = Buffer.from([10, 1, 0, 1]);
	let error: Uint8Array | undefined;
	await waitFor("the kernel's ICMP error", () => {
		const bytes = capture.receive(100)?.bytes;
		if (bytes?.[23] === 1) error = bytes;
		return error !== undefined;
	});
	assert.ok(!Buffer.from(error ?? []).includes(real1), "it does not quote the real server");
	director.detach();
});

test("without a next hop, the kernel routes to real servers behind an interface without the program", () => {
	using wire = new Wire();
	ip(`link add side0 type veth peer name side1`);
	for (const name of ["side0", "side1"]) ip(`link set ${name} up`);
	try {
		ip(`address add 10.8.0.1/24 dev side0`);
		ip(`neigh replace 10.8.0.254 lladdr ${ROUTER_MAC} dev side0 nud permanent`);
		run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0");
		run("sysctl", "-qw", "net.ipv4.conf.dir0.rp_filter=0");
		using director = Director.open();
		director.apply(wishOf([real(1)]), SETTINGS);
		ip(`route add 10.1.0.0/24 via 10.8.0.254`);
		using side = new PacketSocket({ interfaceName: "side1", ignoreOutgoing: true });
		wire.send(flowFrames(1, ACK));
		const deadline = performance.now() + 2000;
		let frame = side.receive(2000);
		while (frame !== undefined && frame.etherType !== 0x0800)
			frame = side.receive(Math.max(1, deadline - performance.now()));
		assert.deepEqual(realsOf([frame?.bytes ?? new Uint8Array(0)]), [1]);
		assert.equal(director.status().reasons["by-kernel"], 1n);
		director.detach();
	} finally {
		ip("link delete side0");
	}
});

test("without a route the real server is reported as unreachable", () => {
	using _wire = new Wire();
	using director = Director.open();
	const { unreachable } = director.apply(wishOf([real(1)]), SETTINGS);
	assert.deepEqual([...new Set(unreachable.map(({ text }) => text))], ["10.1.0.1", "2001:db8:1::1"]);
	director.detach();
});

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

test("with an empty fleet every packet for the VIP goes to the kernel; a fleet without VIPs has no service", () => {
	using wire = new Wire(10);
	using director = Director.open();
	director.apply(wishOf([]), SETTINGS);
	wire.send(flowFrames(5, SYN));
	assert.equal(director.status().services.length, 4);
	director.apply({ addresses: [], services: [] }, SETTINGS);
	assert.deepEqual(director.status().services, []);
	director.detach();
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

test("a process that keeps the director finds the routes to real servers that another one has set", () => {
	using _wire = new Wire(20);
	using agent = Director.open();
	agent.apply(wishOf(reals(3)), SETTINGS);
	assert.equal(agent.needsUpkeep(), false);
	{
		using command = Director.open();
		command.apply(wishOf(reals(3)), { ...SETTINGS, forward: "kernel" });
	}
	agent.findAgain();
	assert.equal(agent.needsUpkeep(), false, "it would write other ways than the command has");
	agent.detach();
});

test("a process that has held the director open notices another one's changes", () => {
	using wire = new Wire(20);
	using agent = Director.open();
	agent.apply(wishOf(reals(3)), SETTINGS);
	{
		using command = Director.open();
		command.apply(wishOf([...reals(3), real(9)]), SETTINGS);
	}
	// Of the agent's own wish only the health changes, but the table numbers may have changed since.
	const isHealthy = (_service: unknown, _pool: string, name: string) => name !== "r1";
	agent.apply(wishOf(reals(3), {}, isHealthy), SETTINGS);
	agent.endDrains(currentTick() + ticksOf(900_000) + 1);
	assert.ok(sendFlows(wire, flowFrames(100, ACK)).every((one) => one === 2 || one === 3));
	{
		// A separate program with its own tables.
		using command = Director.open();
		command.detach();
		using again = Director.open();
		again.apply(wishOf([real(4)]), SETTINGS);
	}
	agent.apply(wishOf(reals(3)), SETTINGS);
	agent.endDrains(currentTick() + ticksOf(900_000) + 1);
	assert.deepEqual([...new Set(sendFlows(wire, flowFrames(100, SYN)))].sort(), [1, 2, 3]);
	assert.equal(agent.status().programs.length, 1);
	agent.detach();
});

test("the explanation of a frame agrees with what the director then does, even in a transition", () => {
	using wire = new Wire(20);
	using director = Director.open();
	director.apply(wishOf(reals(4)), SETTINGS);
	director.apply(wishOf(reals(5).slice(1)), SETTINGS);
	assert.equal(director.explain(new Uint8Array(60), "lo"), undefined);
	const seen = new Set<string>();
	for (const [flags, again] of [
		[ACK, ACK],
		[SYN, ACK],
	] as const) {
		for (const frame of [
			...flowFrames(40, flags),
			...flowFrames(40, flags, "ipv6"),
			...flowFrames(40, again),
		]) {
			const expected = director.explain(frame, DIRECTOR);
			assert.ok(expected?.what === "forward");
			seen.add(expected.choice?.by ?? "");
			const [back] = wire.exchange([frame]);
			assert.deepEqual(Buffer.from(back ?? []).toString("hex"), Buffer.from(expected.frame).toString("hex"));
		}
	}
	assert.deepEqual([...seen].sort(), ["before", "entry", "ring"]);
	const other = director.explain(
		ethernet({ destination: DIRECTOR_MAC }, ipv4({ destination: "203.0.113.1" }, tcp())),
		DIRECTOR,
	);
	assert.equal(other?.what === "pass" && other.reason, "not-vip");
	director.detach();
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
