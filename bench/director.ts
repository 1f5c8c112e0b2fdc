/**
 * What directing costs: nanoseconds per packet in the kernel's test-run and across a veth, and milliseconds from an event
 * to the kernel.
 *
 * A test-run hands an XDP program the packet as the run before left it, which is then no packet for the VIP any more. So a
 * program in front writes the headers anew each time, another flow's each time if need be, and goes on by a tail call.
 * What that costs is measured with an empty program behind it, and taken off.
 */
import {
	arrayKey,
	BpfMap,
	bytes,
	layout,
	type MapSpec,
	Program,
	ProgramBuilder,
	part,
	sendLiveFrames,
	testRun,
	u64,
	view,
	whole,
	XDP,
	XDP_ACTION,
	xdpNative,
} from "@l3dsr/bpf";
import { interfaceByName } from "@l3dsr/linux";
import { parseAddress } from "@l3dsr/packet";
import { currentTick } from "../packages/l3dsr/src/balance/kernel/clock.ts";
import { Director } from "../packages/l3dsr/src/balance/kernel/director.ts";
import { maglevRing, reassign } from "../packages/l3dsr/src/balance/maglev.ts";
import type { FlowMode } from "../packages/l3dsr/src/balance/oracle/memory.ts";
import { type BalanceWish, lowerFleet } from "../packages/l3dsr/src/balance/service.ts";
import type { Hop } from "../packages/l3dsr/src/balance/tables/real-entry.ts";
import { IN_TRANSITION } from "../packages/l3dsr/src/balance/transition.ts";
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
import { bytesOf, ethernet, ipv4, ipv6, macBytes, tcp } from "../packages/l3dsr/test/packets/build.ts";
import { run } from "../test/support/netns.ts";
import { type Candidate, difference, interleave, type Series, seriesOf } from "./measure.ts";
import { Owner } from "./owner.ts";
import { frame as realServerFrame } from "./packets.ts";
import { emptySpec, TARGET, vipSpec } from "./test-run.ts";

const OWN_MAC = "02:00:00:00:00:01";
/** The frame that is written anew: as much as headers have, a whole number of 64-bit words. */
const FRAME_BYTES = 80;
const SOURCE_AT = { ipv4: 26, ipv6: 34 } as const;
const VIP = { ipv4: "192.0.2.10", ipv6: "2001:db8:a::10" } as const;

const SYN = 0x02;
const ACK = 0x10;

interface Traffic {
	readonly frame: Uint8Array;
	/** So many flows in turn, a power of two: sources that differ. */
	readonly flows: number;
	/** Where the source address has the 24 bits that change; undefined for one flow. */
	readonly sourceAt?: number;
}

/** A TCP packet of `flows` clients in turn. */
export function traffic(
	flows: number,
	flags = ACK,
	family: "ipv4" | "ipv6" = "ipv4",
	destination: string = VIP[family],
): Traffic {
	const segment = tcp({ sourcePort: 40000, destinationPort: 80, data: new Uint8Array(40) });
	const source = family === "ipv4" ? "11.0.0.1" : "2001:db8:c::1";
	const packet =
		family === "ipv4" ? ipv4({ source, destination }, segment) : ipv6({ source, destination }, segment);
	const whole = bytesOf(ethernet({ destination: OWN_MAC }, packet));
	whole[14 + (family === "ipv4" ? 20 : 40) + 13] = flags;
	return { frame: whole.slice(0, Math.max(FRAME_BYTES, whole.length)), flows, sourceAt: SOURCE_AT[family] };
}

/** A program that writes the next packet of `traffic` and hands it on to another. */
class Source implements Disposable {
	readonly #program: Program;
	readonly #next: BpfMap;
	readonly #frame: Uint8Array;

	constructor({ frame, flows, sourceAt }: Traffic, next: Pick<Program, "fd">) {
		this.#frame = frame;
		const spec = {
			name: "bench_next",
			type: "BPF_MAP_TYPE_PROG_ARRAY",
			keySize: 4,
			valueSize: 4,
			maxEntries: 1,
		} as const;
		this.#next = BpfMap.create(spec);
		this.#next.update(arrayKey(0), new Uint8Array(Int32Array.of(next.fd).buffer));
		this.#program = Program.load(sourceSpec(frame, flows, sourceAt, spec), {
			maps: new Map([[spec.name, this.#next]]),
		});
	}

	/** Nanoseconds per packet of a test-run. */
	test(repeat: number): number {
		return testRun(this.#program, { data: this.#frame, repeat }).durationNs;
	}

	/** Throws RangeError when the program behind it does something else with the packet than is to be measured. */
	expect(verdict: number, name: string): void {
		const actual = testRun(this.#program, { data: this.#frame }).verdict;
		if (actual !== verdict) throw new RangeError(`${name}: verdict ${actual}, expected ${verdict}`);
	}

	/** Nanoseconds per frame that goes where its verdict sends it. */
	live(ifindex: number, repeat: number): number {
		const context = XDP.encode({ data_end: this.#frame.length, ingress_ifindex: ifindex });
		return sendLiveFrames(this.#program, { data: this.#frame, context, repeat });
	}

	[Symbol.dispose](): void {
		this.#program[Symbol.dispose]();
		this.#next[Symbol.dispose]();
	}
}

const MEMORY = layout("memory", { number: u64, frame: bytes(FRAME_BYTES) });
/** Odd: as the number grows, all 24 bits change and none comes twice. */
const SPREAD = 0x9e3779b1;

function sourceSpec(frame: Uint8Array, flows: number, sourceAt: number | undefined, programs: MapSpec) {
	const p = new ProgramBuilder({ name: "bench_source", type: "BPF_PROG_TYPE_XDP" });
	const value = new Uint8Array(MEMORY.bytes);
	value.set(frame.subarray(0, FRAME_BYTES), MEMORY.fields.frame.offset);
	const map = p.map({
		name: "bench_frame",
		type: "BPF_MAP_TYPE_ARRAY",
		keySize: 4,
		valueSize: value.length,
		maxEntries: 1,
		contents: [{ key: arrayKey(0), value }],
	});
	const ctx = p.context(XDP);
	const out = p.label("too short");
	p.keep(ctx);
	p.comment("the headers as they were");
	const data = p.load(ctx.data, { name: "data" });
	p.prove(data, FRAME_BYTES, ctx.data_end, out);
	const memory = view(p.mapValue(map), MEMORY);
	const to = whole(view(data, layout("frame", { all: bytes(FRAME_BYTES) })));
	p.copyBytes({ ...to, field: { ...bytes(FRAME_BYTES), offset: 0 } }, memory.frame);
	if (sourceAt !== undefined) {
		p.comment("of the next flow");
		using number = p.load(memory.number);
		number.add(1);
		p.store(memory.number, number);
		number
			.and(flows - 1)
			.mul(SPREAD)
			.and(0xff_ffff);
		// The first byte stays: it says what kind of address it is.
		const raw = { name: "source", base: data, offset: sourceAt + 1, field: { ...bytes(2), offset: 0 } };
		p.store(part(raw, 0, 2), number);
		number.rsh(16);
		p.store(part({ ...raw, offset: sourceAt + 3, field: { ...bytes(1), offset: 0 } }, 0, 1), number);
	}
	p.tailCall(programs, 0, ctx);
	p.placeBare(out);
	p.exit(XDP_ACTION.ABORTED);
	return p.build();
}

const NEXT_HOP: Hop = {
	to: "interface",
	ifindex: 7,
	nextHop: Uint8Array.from(macBytes(ROUTER_MAC)),
	ownMac: Uint8Array.from(macBytes(OWN_MAC)),
	mtu: 1500,
};

/** `vips` VIPs of a family each, with a service for TCP on port 80 and four reals; the first one has all features. */
function sketch(vips: number, all: boolean): WorldSketch {
	const addresses = (["ipv4", "ipv6"] as const).flatMap((family) =>
		Array.from({ length: Math.ceil(vips / 2) }, (_, n) =>
			n === 0
				? VIP[family]
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

/** Slots by turns to the four reals; in transition from another one, if asked for. */
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
	/** Entries of the memory of flows, log2 of its buckets: 17 are a million. */
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
/** These do not leave by the interface. */
const PASSED: readonly string[] = [DIRECTING.empty, DIRECTING.realServer, DIRECTING.other];
export const vipsName = (vips: number) => `known TCP flow, ${vips} VIP${vips === 1 ? "" : "s"}`;

/** Nanoseconds per packet of each case, net of the source with an empty program behind it. */
export async function measureDirecting(effort: DirectorEffort): Promise<ReadonlyMap<string, Series>> {
	using held = new Owner();
	const world = (vips: number, all: boolean, flows: FlowMode, moving = false) => {
		const shape = sketch(vips, all);
		const made = held.use(
			new World(shape, {
				forward: "resolved",
				flows,
				flowBits: effort.flowBits,
				mac: Uint8Array.from(macBytes(OWN_MAC)),
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
		frame: bytesOf(realServerFrame("ipv4", "tcp", 1, { destination: OWN_MAC }), new Uint8Array(64)),
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
	// The flow gets its entry by a SYN; the memory is full when each flow has been seen once.
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

/** Nanoseconds per live frame in a veth and out of it again, by way out. Needs a namespace of its own. */
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
	// Frames leave a veth at XDP only while it has a program itself.
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

/** Milliseconds of the control plane's work. `event`: one figure for each event, not the middle of several. */
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
	const wish = (dead: number): BalanceWish =>
		lowerFleet(
			fleetOf(
				Array.from({ length: 1000 }, (_, n) => ({ ...real(1), name: `r${n}`, addresses: [address(n)] })),
				{
					addresses: [parseAddress(VIP.ipv4)].flatMap((one) => one ?? []),
					services: [{ port: 80, protocols: ["tcp"], pool: "front", affinity: "flow" }],
				},
			),
			(_service, _pool, name) => name !== `r${dead}`,
		);
	director.apply(wish(-1), SETTINGS);
	const wishes = Array.from({ length: events + 10 }, (_, n) => wish(n % 1000));
	timed((n) => director.apply(wishes[n] ?? wish(n), SETTINGS), 10);
	const event = timed((n) => director.apply(wishes[n + 10] ?? wish(n), SETTINGS), events);
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
