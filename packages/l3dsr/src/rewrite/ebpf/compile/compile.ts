/**
 * Compiles the rules of one interface to one specialised program.
 *
 * Path of a packet: protocol → bounds → does this DSCP have rules? → VLAN → length → transport header → rules → count
 * → new address → transport checksum. The program leaves out what no rule needs. Deterministic: the same rules give
 * the same bytes.
 */

import {
	type EncodedProgram,
	IPV4,
	IPV6,
	type MapSpec,
	ProgramBuilder,
	type ProgramSpec,
	type Value,
	view,
} from "@l3dsr/bpf";
import { ETHER_TYPE, type Family } from "@l3dsr/packet";
import { COUNTER_BYTES, emitCount } from "../../../programs/count.ts";
import { emitDscpFilter, emitHeaderBounds, loadDscp } from "../../../programs/ip-header.ts";
import { emitParseIpv4 } from "../../../programs/ipv4.ts";
import { emitParseIpv6 } from "../../../programs/ipv6.ts";
import { emitArrival, emitFrameFilter } from "../../../programs/link-layer.ts";
import { PASS } from "../../../programs/packet.ts";
import { allocateQuote } from "../../../programs/quote.ts";
import { emitTransportChecksum, keepDifference } from "../../../programs/transport-checksum.ts";
import { type Dispatch, dscpsOf, planDispatch, tableDscps } from "./dispatch.ts";
import { allocateStack, type Packet, type ParsedPacket } from "./frame.ts";
import { MAP, PROGRAM_NAME } from "./identity.ts";
import type { InterfaceRules } from "./interface-rules.ts";
import { emitLocal, isLookup, localMap } from "./local-addresses.ts";
import { emitReport } from "./report.ts";
import { emitRewriteAddress } from "./rewrite-address.ts";
import { emitGroups } from "./rule-group.ts";
import { emitStraight } from "./straight.ts";
import { EXTENSIONS_OFFSET, findEntry, rulesMap } from "./table.ts";
import type { CompileTarget } from "./target.ts";

const FAMILIES = ["ipv4", "ipv6"] as const;

/** `slots`: the number of counters in the counter maps, greater than any slot of the rules. */
export function compileProgram(rules: InterfaceRules, target: CompileTarget, slots: number): ProgramSpec {
	const p = new ProgramBuilder({
		name: PROGRAM_NAME[target.hook],
		type: target.hook === "tc" ? "BPF_PROG_TYPE_SCHED_CLS" : "BPF_PROG_TYPE_XDP",
		license: "Dual BSD/GPL",
	});
	const dispatches = planDispatches(rules);
	const maps = {
		rules: p.map(rulesMap(rules, dispatches)),
		counters: p.map(counterMap(MAP.counters, "BPF_MAP_TYPE_PERCPU_ARRAY", slots)),
	};
	p.map(counterMap(MAP.base, "BPF_MAP_TYPE_ARRAY", slots));
	const arrival = emitArrival(p, target, [...dispatches.keys()]);
	const { data, etherType, pass } = arrival;
	const stack = allocateStack(p);
	const quote = rules.rules.some(({ rule }) => rule.target.icmpErrors === true)
		? { quote: allocateQuote({ p }) }
		: {};
	for (const [family, dispatch] of dispatches) {
		const other = p.label("other protocol");
		p.comment(family === "ipv4" ? "IPv4?" : "IPv6?");
		p.gotoIf(etherType, "!=", ETHER_TYPE[family], other);
		p.release(etherType);
		const local = rules.local.filter(({ address }) => address.family === family);
		const packet: Packet = {
			...arrival,
			...headerOf(family, data, target),
			p,
			target,
			family,
			stack,
			local,
			...quote,
			asksProtocol: dispatch.groups.length > 0 || target.report !== undefined,
			maps: {
				...maps,
				local: localMap(family, local),
				steps: { map: maps.rules, offset: EXTENSIONS_OFFSET },
			},
		};
		emitFamily(packet, dispatch);
		p.place(other);
	}
	p.placeBare(pass);
	p.comment("let the packet go on");
	p.exit(PASS[target.hook]);
	return p.build();
}

/**
 * The program with the map contents of `rules`, which compile to the same code as the program's own rules
 * (code-memory.ts checks that).
 */
export function withContentsOf(rules: InterfaceRules, program: EncodedProgram): EncodedProgram {
	const contents = new Map(
		[rulesMap(rules, planDispatches(rules)), ...FAMILIES.map((family) => localMap(family, rules.local))].map(
			(map) => [map.name, map],
		),
	);
	return { ...program, maps: program.maps.map((map) => contents.get(map.name) ?? map) };
}

function planDispatches({ rules }: InterfaceRules): ReadonlyMap<Family, Dispatch> {
	const dispatches = new Map<Family, Dispatch>();
	for (const family of FAMILIES) {
		const dispatch = planDispatch(rules.filter(({ rule }) => rule.family === family));
		if (dscpsOf(dispatch).length > 0) dispatches.set(family, dispatch);
	}
	return dispatches;
}

/** The fields that both IP headers have. */
function headerOf(
	family: Family,
	data: Value,
	{ linkHeaderBytes }: CompileTarget,
): Pick<Packet, "source" | "destination" | "hopLimit"> {
	if (family === "ipv6") return view(data, IPV6, linkHeaderBytes);
	const { source, destination, ttl } = view(data, IPV4, linkHeaderBytes);
	return { source, destination, hopLimit: ttl };
}

/** The path of one family's packets, from the first byte to the verdict. */
function emitFamily(packet: Packet, dispatch: Dispatch): void {
	const { p, target } = packet;
	const inTable = tableDscps(dispatch);
	emitHeaderBounds(packet);
	const dscp = emitDscpFilter(packet, dscpsOf(dispatch));
	emitFrameFilter(packet);
	if (inTable.length > 0 && target.report === undefined) {
		const general = p.label("general");
		if (dispatch.groups.length > 0) {
			p.comment("a DSCP with other rules?");
			p.gotoUnlessMember(dscp, inTable, general);
		}
		emitStraight(packet, emitIfLocal(packet, dscp, dispatch), general);
		p.place(general);
	}
	p.release(dscp);
	const parsed = packet.family === "ipv4" ? emitParseIpv4(packet) : emitParseIpv6(packet);
	p.release(packet.end);
	if (inTable.length > 0) {
		const groups = p.label("groups");
		p.comment("load the DSCP");
		const found = loadDscp(parsed);
		if (dispatch.groups.length > 0) {
			p.comment("a DSCP with other rules?");
			p.gotoUnlessMember(found, inTable, groups);
		}
		emitFromTable(parsed, emitIfLocal(parsed, found, dispatch));
		p.place(groups);
	}
	if (dispatch.groups.length > 0) emitGroups(parsed, dispatch.groups);
}

/**
 * Jumps to `pass` if the DSCP's rule is for this host's addresses and the packet's destination is not one. Returns
 * the DSCP.
 */
function emitIfLocal(packet: Packet, dscp: Value, { plain, plainLocal }: Dispatch): Value {
	const { p, ctx, end, pass } = packet;
	if (plainLocal.size === 0) return dscp;
	const forAll = p.label("every destination");
	if (plain.size > 0) {
		p.comment("a rule for every destination?");
		p.gotoIfMember(dscp, plain.keys(), forAll);
	}
	emitLocal(packet, pass);
	p.place(forAll);
	if (!isLookup(packet)) return dscp;
	p.comment("what the call has lost");
	p.load(ctx.data_end, { into: end });
	return loadDscp(packet, 3);
}

/** The case of one DSCP with one address: look it up, rewrite, count. */
function emitFromTable(packet: ParsedPacket, dscp: Value): void {
	const { p, target, stack, pass } = packet;
	p.comment("one rule for this DSCP: find its entry in the table");
	const { to, slot } = findEntry(packet, dscp);
	if (target.report !== undefined) {
		emitReport(packet, target.report, to, slot);
		return;
	}
	const difference = keepDifference(packet, emitRewriteAddress(packet, to));
	emitCount(packet, "count the packet", slot, stack.slots.length);
	emitTransportChecksum(packet, difference, pass);
}

function counterMap(name: string, type: MapSpec["type"], slots: number): MapSpec {
	return { name, type, keySize: 4, valueSize: COUNTER_BYTES, maxEntries: slots };
}
