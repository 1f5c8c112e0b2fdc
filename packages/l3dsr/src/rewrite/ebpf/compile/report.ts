/**
 * Observing rewrites: an interface's program compiled again, with the same parsing, dispatch and rules, but instead
 * of rewriting a packet it sends an event to a ring buffer. `l3dsr watch` attaches it before our program while it
 * runs.
 */
import { type MapSpec, type Place, part, struct, type View, whole } from "@l3dsr/bpf";
import { hostPrefix } from "../../../model/selection.ts";
import { emitUnlessIn } from "../../../programs/address-set.ts";
import { loadDscp, loadTos } from "../../../programs/ip-header.ts";
import { NO_PROTOCOL } from "../../../programs/packet.ts";
import { emitLoadPorts, emitNoPorts } from "../../../programs/ports.ts";
import { emitReportEvent, flowsMap } from "../../../programs/report.ts";
import type { ParsedPacket } from "./frame.ts";
import type { NewAddress } from "./rewrite-address.ts";
import type { ReportFilter, ReportTarget } from "./target.ts";

/** One event. From `origin` on, it identifies the packet's flow. */
export const REPORT_EVENT = struct("event", {
	/** CLOCK_MONOTONIC, nanoseconds. */
	time: "u64",
	/** Bytes of the IP packet. */
	length: "u32",
	tos: "u32",
	origin: "u32",
	slot: "u32",
	/** 4 or 6 */
	version: "u32",
	/** What `-p` compares with; 0xffffffff if there is none. */
	protocol: "u32",
	/** IPv4: in the first four bytes. */
	source: { bytes: 16 },
	real: { bytes: 16 },
	vip: { bytes: 16 },
	/** Both are 0 for a packet without ports. */
	sourcePort: "be16",
	destinationPort: "be16",
	_pad: "u32",
});

const FLOW_OFFSET = REPORT_EVENT.offsetOf("origin");
const FLOW_BYTES = REPORT_EVENT.size - FLOW_OFFSET;
/** Flows already reported, by the part of an event that identifies a flow. */
export const FLOWS_MAP: MapSpec = flowsMap(FLOW_BYTES);

/** Emitted instead of the rewrite, for its new address and the place of the rule's slot. Ends at `pass`. */
export function emitReport(
	packet: ParsedPacket,
	report: ReportTarget & { readonly ring: MapSpec },
	to: NewAddress,
	slot: Place,
): void {
	const { p, pass } = packet;
	emitFilter(packet, report.filter, to);
	const event = p.stack("event", REPORT_EVENT);
	emitEvent(packet, event, report, to, slot);
	const key: Place = { ...part(whole(event), FLOW_OFFSET, FLOW_BYTES), name: "flow" };
	const { ring } = report;
	emitReportEvent(p, { ring, event, ...(report.flows ? { flow: { map: FLOWS_MAP, key } } : {}) }, pass);
}

/** Keeps the register of the new address. */
function emitFilter(
	packet: ParsedPacket,
	{ vip, dscp, client }: ReportFilter,
	{ address }: NewAddress,
): void {
	const { p, family, source, pass } = packet;
	if ([vip?.family, client?.address.family].some((asked) => asked !== undefined && asked !== family)) {
		p.comment("the other family is asked for");
		p.goto(pass);
		return;
	}
	if (dscp !== undefined) {
		p.comment(`DSCP ${dscp} is asked for`);
		using code = loadDscp(packet);
		p.gotoIf(code, "!=", dscp, pass);
	}
	if (client !== undefined) {
		p.comment("the client that is asked for");
		emitUnlessIn(p, source, [client], pass);
	}
	if (vip !== undefined) {
		p.comment("the VIP that is asked for");
		emitUnlessIn(p, address, [hostPrefix(vip)], pass);
	}
}

function emitEvent(
	packet: ParsedPacket,
	event: View<typeof REPORT_EVENT.fields>,
	report: ReportTarget,
	{ address }: NewAddress,
	slot: Place,
): void {
	const { p, family, kind, stack } = packet;
	const { slots, ports, arrivedPort } = stack;
	p.comment("the rule that decided, and the address that it gives");
	{
		using decided = p.load(slot);
		p.store(event.slot, decided);
	}
	emitCopyAddress(packet, event.vip, address);
	p.comment("the packet's addresses");
	emitCopyAddress(packet, event.source, packet.source);
	emitCopyAddress(packet, event.real, packet.destination);
	p.comment("its length, TOS byte and protocol");
	p.copyBytes(event.length, slots.length);
	{
		using tos = loadTos(packet);
		p.store(event.tos, tos);
	}
	{
		using protocol = family === "ipv4" ? p.copy(kind, "protocol").and(0xff) : p.load(slots.protocol);
		p.store(event.protocol, protocol);
	}
	p.store(event.origin, report.origin);
	p.store(event.version, family === "ipv4" ? 4 : 6);
	p.store(event.sourcePort, 0);
	p.store(event.destinationPort, 0);
	p.store(event._pad, 0);
	emitNoPorts(packet);
	emitLoadPorts(packet);
	p.comment("its ports as they came");
	p.if(slots.hasPorts, "!=", 0, () => {
		p.copyBytes(event.sourcePort, ports.source);
		p.copyBytes(event.destinationPort, arrivedPort);
	});
}

/** Copies sixteen bytes; those after an IPv4 address are 0. */
function emitCopyAddress({ p }: ParsedPacket, to: Place, address: Place): void {
	const { bytes } = address.field;
	p.copyBytes(bytes === 16 ? to : part(to, 0, 4), address);
	if (bytes === 16) return;
	p.store(part(to, 4, 4), 0);
	p.store(part(to, 8, 8), 0);
}

/** True if the event has no protocol to show. */
export function hasNoProtocol(protocol: number): boolean {
	return protocol === NO_PROTOCOL;
}
