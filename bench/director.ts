/**
 * The cost of directing: nanoseconds per packet in the kernel's test run and across a veth, and milliseconds
 * from an event to the kernel.
 *
 * A test run passes an XDP program the packet that the last run left, which no longer goes to the VIP. So a
 * program in front writes new headers each time, if needed of another flow each time, and continues with a
 * tail call. Its own cost is measured with an empty program behind it, and subtracted.
 */
import { Program, ProgramBuilder, XDP_ACTION, xdpNative } from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { parseAddress, portOf } from "@l3dsr/packet";
import { currentTick } from "../packages/l3dsr/src/balance/kernel/clock.ts";
import { Director } from "../packages/l3dsr/src/balance/kernel/director.ts";
import { maglevRing, reassign } from "../packages/l3dsr/src/balance/maglev.ts";
import type { Hop } from "../packages/l3dsr/src/balance/tables/real-entry.ts";
import { IN_TRANSITION } from "../packages/l3dsr/src/balance/transition.ts";
import type { FlowMode } from "../packages/l3dsr/src/model/director.ts";
import {
	ACK,
	OWN_MAC_TEXT,
	Source,
	SYN,
	type Traffic,
	traffic,
	VIPS,
} from "../packages/l3dsr/test/balance/program/source.ts";
import { World, type WorldSketch } from "../packages/l3dsr/test/balance/program/world.ts";
import {
	DIRECTOR,
	DIRECTOR_MAC,
	fleetOf,
	ROUTER_MAC,
	real,
	SETTINGS,
	Wire,
} from "../packages/l3dsr/test/balance/wire.ts";
import { bytesOf, macBytes } from "../packages/l3dsr/test/packets/build.ts";
import { run } from "../test/support/netns.ts";
import { type Candidate, difference, interleave, type Series, seriesOf } from "./measure.ts";
import { Owner } from "./owner.ts";
import { frame as realServerFrame } from "./packets.ts";
import { emptySpec, TARGET, vipSpec } from "./test-run.ts";

const NEXT_HOP: Hop = {
	to: "interface",
	ifindex: 7,
	nextHop: Uint8Array.from(macBytes(ROUTER_MAC)),
	ownMac: Uint8Array.from(macBytes(OWN_MAC_TEXT)),
	mtu: 1500,
};

/**
 * `vips` VIPs of one family, each with a service for TCP port 80 and four real servers; the first one has all
 * features.
 */
function sketch(vips: number, all: boolean): WorldSketch {
	const addresses = (["ipv4", "ipv6"] as const).flatMap((family) =>
		Array.from({ length: Math.ceil(vips / 2) }, (_, n) =>
			n === 0
				? VIPS[family]
				: family === "ipv4"
					? `192.1.${n >> 8}.${n & 255}`
					: `2001:db8:b::${n.toString(16)}`,
		),
	);
	return {
		vips: addresses.map((address) => ({ address, echo: all ? "reply" : "kernel" })),
		services: addresses.flatMap((vip) =>
			(all ? [80, 0] : [80]).map((port) => ({
				vip,
				protocol: 6 as const,
				port,
				dscp: 7,
				affinity: "flow" as const,
				reals: [1, 2, 3, 4].map((n) => ({
					address: vip.includes(":") ? `2001:db8:1::${n}` : `10.1.0.${n}`,
					up: true,
					hop: NEXT_HOP,
				})),
			})),
		),
		codes: all ? [{ address: "10.9.9.9", codes: 1n << 7n }] : [],
	};
}

/** Fills the rings with the four real servers in turn; optionally in transition from another one. */
function fillRings(world: World, services: number, moving = false): void {
	for (let service = 0; service < services; service++) {
		const { now, before } = world.rings(service);
		for (let slot = 0; slot < now.length; slot++) {
			now[slot] = (slot % 4) | (moving ? IN_TRANSITION : 0);
			before[slot] = (slot + 1) % 4;
		}
		world.setTransition(service, currentTick() - 5, currentTick() - 5);
	}
	world.write();
}

export interface DirectorEffort {
	readonly rounds: number;
	readonly samples: number;
	readonly packets: number;
	/** Size of the flow memory, as log2 of its buckets: 17 hold a million entries. */
	readonly flowBits: number;
	readonly vips: readonly number[];
}

export const DIRECTING = {
	empty: "an empty program",
	realServer: "the real server's program, a match",
	plain: "known TCP flow, nothing configured but a VIP",
	all: "known TCP flow, all features on",
	all6: "known TCP flow over IPv6, all features on",
	many: "512k flows in turn",
	remembered: "flow with an entry, in a transition",
	before: "flow without entry, in a transition",
	syn: "SYNs of 4M flows into a full memory, in a transition",
	always: "512k flows in turn, each with an entry (flows: always)",
	other: "packet that is for no VIP",
} as const;
/** Cases whose packets do not leave by the interface. */
const PASSED: readonly string[] = [DIRECTING.empty, DIRECTING.realServer, DIRECTING.other];
export const vipsName = (vips: number) => `known TCP flow, ${vips} VIP${vips === 1 ? "" : "s"}`;

/** Nanoseconds per packet of each case, less the source's cost with an empty program behind it. */
export async function measureDirecting(effort: DirectorEffort): Promise<ReadonlyMap<string, Series>> {
	using held = new Owner();
	const world = (vips: number, all: boolean, flows: FlowMode, moving = false) => {
		const shape = sketch(vips, all);
		const made = held.use(
			new World(shape, {
				forward: "resolved",
				flows,
				flowBits: effort.flowBits,
				mac: Uint8Array.from(macBytes(OWN_MAC_TEXT)),
			}),
		);
		fillRings(made, shape.services.length, moving);
		return made.program;
	};
	const empty = held.use(Program.load(emptySpec("xdp")));
	const flowCount = 1 << (effort.flowBits + 2);
	const floor = (of: Traffic) => held.use(new Source(of, empty));
	const one = traffic(1);
	const many = traffic(flowCount);
	const syns = traffic(flowCount * 8, SYN);
	const all = world(2, true, "transition");
	const moving = world(2, true, "transition", true);
	const remembered = world(2, true, "transition", true);
	const flooded = world(2, true, "transition", true);
	const always = world(2, true, "always");
	const rewritten = {
		frame: bytesOf(realServerFrame("ipv4", "tcp", 1, { destination: OWN_MAC_TEXT }), new Uint8Array(64)),
		flows: 1,
	};
	const cases: readonly (readonly [name: string, traffic: Traffic, program: Program])[] = [
		[DIRECTING.empty, one, empty],
		[DIRECTING.realServer, rewritten, held.use(Program.load(vipSpec(TARGET.xdp, 1)))],
		[DIRECTING.plain, one, world(2, false, "none")],
		[DIRECTING.all, one, all],
		[DIRECTING.all6, traffic(1, ACK, "ipv6"), all],
		[DIRECTING.many, many, all],
		[DIRECTING.remembered, one, remembered],
		[DIRECTING.before, one, moving],
		[DIRECTING.syn, syns, flooded],
		[DIRECTING.always, many, always],
		[DIRECTING.other, traffic(1, ACK, "ipv4", "203.0.113.9"), all],
		...effort.vips.map((vips) => [vipsName(vips), one, world(2 * vips, false, "transition")] as const),
	];
	// A SYN creates the flow's entry; the memory is full when each flow has been seen once.
	held.use(new Source(traffic(1, SYN), remembered)).test(2);
	held.use(new Source(syns, flooded)).test(flowCount * 8);
	held.use(new Source(many, always)).test(flowCount * 2);
	const candidates = cases.flatMap(([name, of, program]): Candidate[] => {
		const own = held.use(new Source(of, program));
		own.expect(PASSED.includes(name) ? XDP_ACTION.PASS : XDP_ACTION.TX, name);
		const below = floor(of);
		return [
			{ name, measure: () => own.test(effort.packets) },
			{ name: `floor of ${name}`, measure: () => below.test(effort.packets) },
		];
	});
	const measured = await interleave(candidates, effort);
	return new Map(
		cases.map(([name]) => [
			name,
			difference(seriesOf(measured, name), seriesOf(measured, `floor of ${name}`)),
		]),
	);
}

export const WAY_OUT = {
	bounce: "bounced by an empty program",
	resolved: "next hop written by the control plane",
	fib: "next hop looked up by the program (bpf_fib_lookup)",
	kernel: "routed by the kernel",
} as const;

/** Nanoseconds per live frame into a veth and out again, for each way out. Needs a namespace of its own. */
export async function measureWaysOut(
	effort: Omit<DirectorEffort, "vips" | "flowBits">,
): Promise<ReadonlyMap<string, Series>> {
	using _wire = new Wire(10);
	run(
		"sysctl",
		"-qw",
		"net.ipv4.ip_forward=1",
		"net.ipv4.conf.all.rp_filter=0",
		`net.ipv4.conf.${DIRECTOR}.rp_filter=0`,
	);
	run("ip", "route", "add", "11.0.0.0/8", "via", "10.9.0.254");
	const { index } = interfaceByName(DIRECTOR);
	using held = new Owner();
	const world = (forward: "resolved" | "kernel", hop: Hop) => {
		const base = sketch(2, false);
		const services = base.services.map((one) => ({
			...one,
			reals: one.reals.map((some) => ({ ...some, hop })),
		}));
		const made = held.use(
			new World(
				{ ...base, services },
				{ forward, flows: "transition", ifindex: index, mac: Uint8Array.from(macBytes(DIRECTOR_MAC)) },
			),
		);
		fillRings(made, services.length);
		return made.program;
	};
	const bounce = new ProgramBuilder({ name: "bench_bounce", type: "BPF_PROG_TYPE_XDP" });
	bounce.exit(XDP_ACTION.TX);
	const bouncing = held.use(Program.load(bounce.build()));
	// A veth transmits frames at XDP only while it has a program itself.
	xdpNative.attach(interfaceByName(DIRECTOR), bouncing);
	const cases = [
		[WAY_OUT.bounce, bouncing],
		[WAY_OUT.resolved, world("resolved", { ...NEXT_HOP, ifindex: index } as Hop)],
		[WAY_OUT.fib, world("resolved", { to: "unresolved" })],
		[WAY_OUT.kernel, world("kernel", { to: "kernel", mtu: 1500 })],
	] as const;
	const candidates = cases.map(([name, program]): Candidate => {
		const source = held.use(new Source(traffic(64), program));
		if (name !== WAY_OUT.kernel) source.expect(XDP_ACTION.TX, name);
		return { name, measure: () => source.live(index, effort.packets) };
	});
	return await interleave(candidates, effort);
}

export const CONTROL = {
	ring: "ring of 65,537 slots and 100 reals",
	reassign: "slots of 30 dead reals of 100 given to others",
	event: "a death among 1,000 reals, from the event to the kernel",
} as const;

/**
 * Milliseconds of the control plane's work. `event`: one figure for each event, not a median; it is the work
 * of the agent in DirectorUpkeep after it has taken the lock.
 */
export function measureControl(events: number): ReadonlyMap<string, Series> {
	const members = Array.from({ length: 100 }, (_, n) => ({ key: [10, 1, 0, n], weight: 1 }));
	const timed = (work: (n: number) => void, rounds: number) =>
		Array.from({ length: rounds }, (_, n) => {
			const start = performance.now();
			work(n);
			return performance.now() - start;
		});
	const ring = maglevRing(members, 1n);
	const serves = members.map((_, n) => n % 10 >= 3);
	timed((n) => maglevRing(members, BigInt(n)), 10);
	timed(() => reassign(ring, serves, 1n), 10);
	using _wire = new Wire(10);
	run("ip", "route", "add", "10.1.0.0/16", "via", "10.9.0.254");
	using director = Director.open();
	const fleet = fleetOf(
		Array.from({ length: 1000 }, (_, n) => ({ ...real(1), name: `r${n}`, addresses: [address(n)] })),
		{
			addresses: [parseAddress(VIPS.ipv4)].flatMap((one) => one ?? []),
			services: [{ port: portOf(80), protocols: ["tcp"], pool: "front", affinity: "flow" }],
		},
	);
	const apply = (n: number) => {
		const dead = `r${n}`;
		director.findAgain();
		const wish = director.wishFor(fleet, (_service, _pool, name) => (name === dead ? "failing" : "healthy"));
		director.endDrains();
		director.apply(wish, SETTINGS);
	};
	apply(-1);
	director.useDrains(director.wishFor(fleet));
	timed((n) => apply(n), 10);
	const event = timed((n) => apply((n + 10) % 1000), events);
	director.detach();
	return new Map([
		[CONTROL.ring, timed((n) => maglevRing(members, BigInt(n)), 21)],
		[CONTROL.reassign, timed(() => reassign(ring, serves, 1n), 21)],
		[CONTROL.event, event],
	]);
}

function address(n: number) {
	const found = parseAddress(`10.1.${1 + (n >> 8)}.${n & 255}`);
	if (found === undefined) throw new RangeError(`real ${n}`);
	return found;
}
