/**
 * Observes a director: a program that sees each packet as the director's program leaves it, and reports the start of
 * those that carry a code of its VIPs. `l3dsr watch` attaches it while it runs; the director's program is not
 * changed.
 *
 * At XDP it traces the exit of the director's program (fexit), because an interface has only one XDP program and the
 * frames that it sends pass no other hook. At tc it is attached after it.
 */
import {
	IPV4,
	IPV6,
	type Label,
	type MapSpec,
	type Place,
	PROGRAM_EXIT,
	ProgramBuilder,
	type ProgramSpec,
	part,
	SKB,
	struct,
	type View,
	view,
	whole,
	XDP_ACTION,
} from "@l3dsr/bpf";
import { type Family, PROTOCOL_NUMBER, type Prefix } from "@l3dsr/packet";
import { emitUnlessIn } from "../../programs/address-set.ts";
import { PASS } from "../../programs/packet.ts";
import { emitReportEvent, flowsMap } from "../../programs/report.ts";
import type { ProgramSettings } from "./about.ts";
import { linkBytes } from "./frame.ts";

/** The program's name in the kernel, different from a director's. */
const REPORT_PROGRAM = "l3dsr_looks_on";

/** Bytes reported of a packet: enough for a header with options or some extension headers, up to the ports. */
const SENT_BYTES = 160;

/** One event: a packet with a code of a VIP after the director's program. */
export const LEFT_EVENT = struct("event", {
	/** CLOCK_MONOTONIC, nanoseconds. */
	time: "u64",
	/** Length of the whole packet. */
	length: "u32",
	origin: "u32",
	/** XDP_ACTION; 0 at tc. */
	verdict: "u32",
	_pad: "u32",
	/** The start of the packet, without the link header; bytes beyond `length` are undefined. */
	packet: { bytes: SENT_BYTES },
});

/** The key of a flow. Ports after IP options or extension headers are not read. */
const FLOW = struct("flow", {
	source: { bytes: 16 },
	real: { bytes: 16 },
	ports: { bytes: 4 },
	protocol: "u8",
	_pad: { bytes: 3 },
});
export const LEFT_FLOWS_MAP: MapSpec = flowsMap(FLOW.bytes);

export interface DirectorReport {
	/** Number of this program among those that share the ring buffer; its events carry it. */
	readonly origin: number;
	/** Reports packets with these DSCPs, each 0-63. */
	readonly codes: ReadonlySet<number>;
	/** Reports only packets from this prefix. */
	readonly client?: Prefix;
	/** Reports only the first packet of each flow. */
	readonly flows: boolean;
}

/** Compiles the program that observes the one compiled for `settings`, with events to `ring`. */
export function compileDirectorReport(
	settings: ProgramSettings,
	report: DirectorReport,
	ring: MapSpec,
): ProgramSpec {
	const isXdp = settings.hook === "xdp";
	const p = new ProgramBuilder({
		name: REPORT_PROGRAM,
		license: "Dual BSD/GPL",
		...(isXdp
			? { type: "BPF_PROG_TYPE_TRACING", expectedAttachType: "BPF_TRACE_FEXIT" }
			: { type: "BPF_PROG_TYPE_SCHED_CLS" }),
	});
	const pass = p.label("pass");
	const event = p.stack("event", LEFT_EVENT);
	p.clear(event);
	p.store(event.origin, report.origin);
	const link = linkBytes(settings);
	if (isXdp) readAtXdp(p, event, link, pass);
	else readAtTc(p, event, link, pass);
	const flow = p.stack("flow", FLOW);
	p.clear(flow);
	const isIpv6 = p.label("ipv6");
	const wanted = p.label("wanted");
	p.comment("IPv4 or IPv6?");
	{
		using version = p.load(part(event.packet, 0, 1), { name: "version" }).rsh(4);
		p.gotoIf(version, "==", 6, isIpv6);
		p.gotoIf(version, "!=", 4, pass);
	}
	selectIpv4(p, event, flow, report, pass);
	p.goto(wanted);
	p.place(isIpv6);
	selectIpv6(p, event, flow, report, pass);
	p.place(wanted);
	const key = whole(flow);
	emitReportEvent(p, { ring, event, ...(report.flows ? { flow: { map: LEFT_FLOWS_MAP, key } } : {}) }, pass);
	p.placeBare(pass);
	p.exit(isXdp ? 0 : PASS.tc);
	return p.build();
}

type Event = View<typeof LEFT_EVENT.fields>;
type Flow = View<typeof FLOW.fields>;

/** The first fields of `struct xdp_buff` (include/net/xdp.h). */
const XDP_BUFF = struct("xdp_buff", { data: "u64", end: "u64" });

/** Tracing programs read kernel memory by a helper, which fails safely on a bad address. */
function readAtXdp(p: ProgramBuilder, event: Event, link: number, pass: Label): void {
	const ctx = p.context(PROGRAM_EXIT);
	p.comment("the verdict: passed on, sent back or sent elsewhere");
	{
		using verdict = p.load(ctx.verdict);
		p.store(event.verdict, verdict);
	}
	p.gotoIf(event.verdict, "<", XDP_ACTION.PASS, pass);
	p.comment("where the frame is now");
	const buffer = p.stack("buffer", XDP_BUFF);
	{
		using address = p.load(ctx.context);
		using failed = p.call("bpf_probe_read_kernel", [buffer, XDP_BUFF.bytes, address], "failed");
		p.gotoIf(failed, "!=", 0, pass);
	}
	p.comment("its length without the link's header, and how it begins");
	{
		using start = p.load(buffer.data);
		start.add(link);
		using length = p.load(buffer.end).sub(start);
		p.store(event.length, length);
		p.release(length);
		using failed = p.call("bpf_probe_read_kernel", [event.packet, SENT_BYTES, start], "failed");
		p.gotoIf(failed, "!=", 0, pass);
	}
}

function readAtTc(p: ProgramBuilder, event: Event, link: number, pass: Label): void {
	const ctx = p.context(SKB);
	p.comment("its length without the link's header");
	using length = p.load(ctx.len, { name: "length" });
	p.gotoIf(length, "<", link + IPV4.bytes, pass);
	length.sub(link);
	p.store(event.length, length);
	const fits = p.label("fits");
	p.gotoIf(length, "<=", SENT_BYTES, fits);
	length.set(SENT_BYTES);
	p.place(fits);
	p.comment("how it begins");
	using failed = p.call("bpf_skb_load_bytes", [ctx, link, event.packet, length], "failed");
	p.gotoIf(failed, "!=", 0, pass);
}

function selectIpv4(p: ProgramBuilder, event: Event, flow: Flow, report: DirectorReport, pass: Label): void {
	const { base, offset } = event.packet;
	const ip = view(base, IPV4, offset);
	p.comment("the DSCP that it left with: a VIP's?");
	{
		using code = p.load(ip.tos, { name: "code" }).rsh(2);
		p.gotoUnlessMember(code, report.codes, pass);
	}
	emitClient(p, ip.source, "ipv4", report, pass);
	p.comment("the flow");
	p.copyBytes(part(flow.source, 0, 4), ip.source);
	p.copyBytes(part(flow.real, 0, 4), ip.destination);
	p.copyBytes(flow.protocol, ip.protocol);
	const known = p.label("flow known");
	p.gotoIf(ip.versionIhl, "!=", 0x45, known);
	p.gotoIf(ip.fragment, "&", 0x1fff, known);
	emitPorts(p, ip.protocol, part(event.packet, IPV4.bytes, 4), flow, known);
	p.place(known);
}

function selectIpv6(p: ProgramBuilder, event: Event, flow: Flow, report: DirectorReport, pass: Label): void {
	const { base, offset } = event.packet;
	const ip = view(base, IPV6, offset);
	p.comment("the DSCP that it left with: a VIP's?");
	{
		using code = p
			.load(part(event.packet, 0, 1), { name: "code" })
			.and(0xf)
			.lsh(2);
		using low = p.load(part(event.packet, 1, 1), { name: "low bits" }).rsh(6);
		code.or(low);
		p.gotoUnlessMember(code, report.codes, pass);
	}
	emitClient(p, ip.source, "ipv6", report, pass);
	p.comment("the flow");
	p.copyBytes(flow.source, ip.source);
	p.copyBytes(flow.real, ip.destination);
	p.copyBytes(flow.protocol, ip.nextHeader);
	const known = p.label("flow known");
	emitPorts(p, ip.nextHeader, part(event.packet, IPV6.bytes, 4), flow, known);
	p.place(known);
}

function emitClient(
	p: ProgramBuilder,
	source: Place,
	family: Family,
	{ client }: DirectorReport,
	pass: Label,
): void {
	if (client === undefined) return;
	p.comment("the client that is asked for");
	if (client.address.family === family) emitUnlessIn(p, source, [client], pass);
	else p.goto(pass);
}

function emitPorts(p: ProgramBuilder, protocol: Place, ports: Place, flow: Flow, otherwise: Label): void {
	const has = p.label("has ports");
	p.gotoIf(protocol, "==", PROTOCOL_NUMBER.tcp, has);
	p.gotoIf(protocol, "!=", PROTOCOL_NUMBER.udp, otherwise);
	p.place(has);
	p.copyBytes(flow.ports, ports);
}
