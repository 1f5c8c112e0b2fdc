/**
 * Looking on: the program of an interface once more, with the same parsing, the same dispatch and the same
 * rules, which at the point of rewriting sends an event into a ring buffer instead and leaves the packet as
 * it is. What `l3dsr watch` hangs in front of ours while it runs.
 */
import {
	add,
	and,
	atomicAdd,
	type Instruction,
	ja,
	jeq,
	jne,
	jsgt,
	load,
	loadMap,
	loadMapValue,
	mov,
	store,
	storeImm,
} from "../../bpf/asm/index.ts";
import { BPF_MAP_FLAG, type MapSpec } from "../../bpf/spec.ts";
import type { Address, Family, Prefix } from "../../model/address.ts";
import type { Dscp } from "../../model/dscp.ts";
import { hostPrefix } from "../../model/selection.ts";
import { Layout } from "../../sys/layout.ts";
import type { Code } from "./code.ts";
import { emitLoadPorts, emitPrefixes, loadArrivedTos } from "./conditions.ts";
import { FP, KIND, NO_PROTOCOL, PACKET, STACK } from "./frame.ts";
import { type CompileTarget, helper } from "./hook.ts";
import { IPV4 } from "./parse-ipv4.ts";
import { IPV6 } from "./parse-ipv6.ts";
import { loadDscp, PASS } from "./parse-link.ts";
import type { NewAddress } from "./rewrite-address.ts";

export const REPORT_PROGRAM = "l3dsr_watch";

/** Which packets are reported: those that meet every condition that is present. */
export interface ReportFilter {
	readonly vip?: Address;
	readonly dscp?: Dscp;
	readonly client?: Prefix;
}

export interface ReportTarget {
	/** Number of this program among those that share the ring buffer: what its events carry. */
	readonly origin: number;
	readonly filter: ReportFilter;
	/** Only the first packet of each flow. */
	readonly flows: boolean;
}

export const REPORT_MAP = { ring: "l3dsr_events", control: "l3dsr_watch_ctl", flows: "l3dsr_flows" } as const;

/** What was not sent: no credit, or no room in the ring buffer. */
export const CONTROL = new Layout({ credit: "u64", leftOut: "u64" });

/** One event. From `origin` on it is the flow that the packet belongs to. */
export const REPORT_EVENT = new Layout({
	/** CLOCK_MONOTONIC, nanoseconds. */
	time: "u64",
	/** Bytes of the IP packet. */
	length: "u32",
	tos: "u32",
	origin: "u32",
	slot: "u32",
	/** 4 or 6 */
	version: "u32",
	/** What `-p` compares with; 0xffffffff where there is none. */
	protocol: "u32",
	/** IPv4 in the first four bytes. */
	source: { bytes: 16 },
	real: { bytes: 16 },
	vip: { bytes: 16 },
	/** Both 0 in a packet without ports. */
	sourcePort: "be16",
	destinationPort: "be16",
	_pad: "u32",
});

/** On the stack, below everything that rules use. */
const EVENT = -256;
const at = (field: Parameters<typeof REPORT_EVENT.offsetOf>[0]) => EVENT + REPORT_EVENT.offsetOf(field);
const FLOW_OFFSET = REPORT_EVENT.offsetOf("origin");
const FLOW_BYTES = REPORT_EVENT.size - FLOW_OFFSET;
const MOST_FLOWS = 65536;
const BPF_ANY = 0;

/** Maps that the programs of one watcher share, beside the ring buffer. */
export const CONTROL_MAP: MapSpec = {
	name: REPORT_MAP.control,
	type: "BPF_MAP_TYPE_ARRAY",
	keySize: 4,
	valueSize: CONTROL.size,
	maxEntries: 1,
	flags: BPF_MAP_FLAG.BPF_F_MMAPABLE,
};
export const FLOWS_MAP: MapSpec = {
	name: REPORT_MAP.flows,
	type: "BPF_MAP_TYPE_LRU_HASH",
	keySize: FLOW_BYTES,
	valueSize: 4,
	maxEntries: MOST_FLOWS,
};

/** In the place of the rewrite: the packet at PACKET, its new address in `from`. Ends at PASS. */
export function emitReport(
	code: Code,
	family: Family,
	target: CompileTarget,
	report: ReportTarget,
	from: NewAddress,
): void {
	emitFilter(code, family, target, report.filter, from);
	emitEvent(code, family, target, report, from);
	const leftOut = code.fresh("left_out");
	if (report.flows) {
		code.step(
			"a flow that has been reported?",
			loadMap(1, REPORT_MAP.flows),
			...flowKey(2),
			helper("bpf_map_lookup_elem"),
			jne.imm(0, 0, PASS),
		);
	}
	const credited = code.fresh("credited");
	code.step(
		"may more be said now?",
		loadMapValue(1, REPORT_MAP.control, CONTROL.offsetOf("credit")),
		load(8, 2, 1, 0),
		jsgt.imm(2, 0, credited),
		ja(leftOut),
	);
	code.label(credited);
	code.step("one less", mov.imm(2, -1), atomicAdd(8, 1, 0, 2));
	code.step("when", helper("bpf_ktime_get_ns"), store(8, FP, at("time"), 0));
	code.step(
		"send the event",
		loadMap(1, REPORT_MAP.ring),
		mov.reg(2, FP),
		add.imm(2, EVENT),
		mov.imm(3, REPORT_EVENT.size),
		mov.imm(4, 0),
		helper("bpf_ringbuf_output"),
		jne.imm(0, 0, leftOut),
	);
	if (report.flows) {
		code.step(
			"remember the flow",
			loadMap(1, REPORT_MAP.flows),
			...flowKey(2),
			mov.reg(3, FP),
			add.imm(3, at("_pad")),
			mov.imm(4, BPF_ANY),
			helper("bpf_map_update_elem"),
		);
	}
	code.step("the packet goes on as it came", ja(PASS));
	code.label(leftOut);
	code.step(
		"count what is not said",
		loadMapValue(1, REPORT_MAP.control, CONTROL.offsetOf("leftOut")),
		mov.imm(2, 1),
		atomicAdd(8, 1, 0, 2),
		ja(PASS),
	);
}

/** Loses r2-r4; keeps r5, where the new address may be. */
function emitFilter(
	code: Code,
	family: Family,
	target: CompileTarget,
	{ vip, dscp, client }: ReportFilter,
	{ base, offset }: NewAddress,
): void {
	const link = target.linkHeaderBytes;
	if ([vip?.family, client?.address.family].some((asked) => asked !== undefined && asked !== family)) {
		code.step("the other family is asked for", ja(PASS));
		return;
	}
	if (dscp !== undefined) {
		code.step(`DSCP ${dscp} is asked for`, ...loadDscp(family, link), jne.imm(3, dscp, PASS));
	}
	if (client !== undefined) {
		const source = link + (family === "ipv4" ? IPV4.source : IPV6.source);
		emitPrefixes(code, "the client that is asked for", [client], false, PACKET, source, PASS);
	}
	if (vip !== undefined) {
		emitPrefixes(code, "the VIP that is asked for", [hostPrefix(vip)], false, base, offset, PASS);
	}
}

function emitEvent(
	code: Code,
	family: Family,
	target: CompileTarget,
	report: ReportTarget,
	from: NewAddress,
): void {
	const link = target.linkHeaderBytes;
	const [source, destination] =
		family === "ipv4" ? [IPV4.source, IPV4.destination] : [IPV6.source, IPV6.destination];
	code.step(
		"the rule that decided, and the address that it gives",
		...(from.slotOffset === undefined
			? [load(4, 2, FP, STACK.key)]
			: [load(4, 2, from.base, from.slotOffset)]),
		store(4, FP, at("slot"), 2),
		...copyAddress(family, from.base, from.offset, at("vip")),
	);
	code.step(
		"the packet's addresses",
		...copyAddress(family, PACKET, link + source, at("source")),
		...copyAddress(family, PACKET, link + destination, at("real")),
	);
	code.step(
		"its length, TOS byte and protocol",
		load(4, 2, FP, STACK.length),
		store(4, FP, at("length"), 2),
		...loadArrivedTos(family, link),
		store(4, FP, at("tos"), 2),
		...(family === "ipv4" ? [mov.reg(2, KIND), and.imm(2, 0xff)] : [load(4, 2, FP, STACK.protocol)]),
		store(4, FP, at("protocol"), 2),
		storeImm(4, FP, at("origin"), report.origin),
		storeImm(4, FP, at("version"), family === "ipv4" ? 4 : 6),
		storeImm(4, FP, at("sourcePort"), 0),
		storeImm(4, FP, at("_pad"), 0),
	);
	emitLoadPorts(code, { target, family });
	const portless = code.fresh("portless");
	code.step(
		"its ports as they came",
		load(4, 2, FP, STACK.hasPorts),
		jeq.imm(2, 0, portless),
		load(2, 2, FP, STACK.sourcePort),
		store(2, FP, at("sourcePort"), 2),
		load(2, 2, FP, STACK.arrivedPort),
		store(2, FP, at("destinationPort"), 2),
	);
	code.label(portless);
}

/** `register = address of the flow within the event` */
function flowKey(register: 2): Instruction[] {
	return [mov.reg(register, FP), add.imm(register, EVENT + FLOW_OFFSET)];
}

/** Sixteen bytes on the stack; those behind an IPv4 address are 0. Uses r2. */
function copyAddress(family: Family, base: NewAddress["base"], offset: number, to: number): Instruction[] {
	return [0, 4, 8, 12].flatMap((i) =>
		family === "ipv6" || i === 0
			? [load(4, 2, base, offset + i), store(4, FP, to + i, 2)]
			: [storeImm(4, FP, to + i, 0)],
	);
}

/** True where the event has no protocol to show. */
export function hasNoProtocol(protocol: number): boolean {
	return protocol === NO_PROTOCOL;
}
