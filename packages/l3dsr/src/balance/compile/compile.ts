/**
 * The director's program for one interface.
 *
 * Path of a packet: for this host? → IPv4 or IPv6 → a plain header with TCP or UDP → service → hash → slot, and in a
 * transition the memory of flows → real → does it fit, where does it go → address, DSCP, hop, checksums → count →
 * out. Any other packet leaves this path before anything is written, and returns to it once its flow is known.
 */
import { type Label, ProgramBuilder, type ProgramSpec, type Value } from "@l3dsr/bpf";
import type { Family } from "@l3dsr/packet";
import { DIRECTOR_PROGRAM } from "../../programs/director-program.ts";
import { DROP, PASS } from "../../programs/packet.ts";
import { REASONS, type Reason } from "../reason.ts";
import { tableSpecs } from "../tables/layout.ts";
import { aboutMap } from "./about.ts";
import { emitArrival } from "./arrival.ts";
import { emitChoose, emitRefuse } from "./choose.ts";
import { emitCountKey } from "./count.ts";
import { emitForward } from "./forward.ts";
import { allocateStack, type Director, linkBytes, type Packet } from "./frame.ts";
import type { ProgramOptions } from "./options.ts";
import { emitStraight } from "./straight.ts";
import { emitUnusual } from "./unusual.ts";

/** Deterministic: the same options give the same bytes. */
export function compileDirector(options: ProgramOptions): ProgramSpec {
	const p = new ProgramBuilder({
		name: DIRECTOR_PROGRAM[options.hook],
		type: options.hook === "tc" ? "BPF_PROG_TYPE_SCHED_CLS" : "BPF_PROG_TYPE_XDP",
		license: "Dual BSD/GPL",
		traceable: options.hook === "xdp",
	});
	const maps = tableSpecs(options);
	for (const map of [...Object.values(maps), aboutMap(options)]) p.map(map);
	const leaving = new Map<Reason, Label>();
	const director: Director = {
		p,
		options,
		maps,
		slots: allocateStack(p),
		link: linkBytes(options),
		leave(reason) {
			const label = leaving.get(reason) ?? p.label(reason);
			leaving.set(reason, label);
			return label;
		},
	};
	const isIpv6 = p.label("ipv6");
	const { data, end } = emitArrival(director, isIpv6);
	emitFamily(director, "ipv4", data, end);
	p.place(isIpv6);
	emitFamily(director, "ipv6", data, end);
	emitLeave(director, leaving);
	return p.build();
}

/** The path of one family's packets, from the first byte to the verdict. */
function emitFamily(director: Director, family: Family, data: Value, end: Value): void {
	const { p } = director;
	// Each value keeps its register all the way; before it is set, others may use the register.
	const packet: Packet = {
		...director,
		family,
		data,
		sumAt: p.packetPointer("checksum at", 7),
		hash: p.u64("hash", 8),
		vip: p.pointer("vip", 9),
		ports: p.u32("ports", 5),
		real: p.u32("real", 4),
	};
	p.release(packet.sumAt, packet.hash, packet.vip, packet.ports, packet.real);
	const ways = { found: p.label("service found"), numbered: p.label("real known") };
	const unusual = p.label("unusual");
	emitStraight(packet, end, unusual, ways.found);
	p.placeBare(unusual);
	p.comment("something unusual");
	emitUnusual(packet, ways);
	p.place(ways.found);
	emitRefuse(packet);
	emitChoose(packet);
	p.place(ways.numbered);
	emitForward(packet);
}

/** Counts the packets that are not forwarded, by reason. */
function emitLeave(director: Director, leaving: ReadonlyMap<Reason, Label>): void {
	const { p, options, slots } = director;
	const ways = { pass: p.label("pass"), drop: p.label("drop") };
	for (const [reason, label] of leaving) {
		const { slot, outcome } = REASONS[reason];
		p.placeBare(label);
		p.comment(`${reason}: count it`);
		p.store(slots.key, slot);
		p.goto(outcome === "drop" ? ways.drop : ways.pass);
	}
	for (const outcome of ["pass", "drop"] as const) {
		p.placeBare(ways[outcome]);
		emitCountKey(director);
		p.comment(outcome === "pass" ? "the kernel's" : "dropped");
		p.exit((outcome === "pass" ? PASS : DROP)[options.hook]);
	}
}
