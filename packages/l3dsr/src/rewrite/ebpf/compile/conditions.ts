/** Emits the matches of a rule: each falls through if it holds, and jumps to `miss` if not. */

import { type Comparison, ETHERNET, type Label, type Place, type Value, view } from "@l3dsr/bpf";
import { PROTOCOL_NUMBER, type Prefix } from "@l3dsr/packet";
import { isOfPorts, type Match, type NumberRange, type Rule } from "../../../model/rule.ts";
import { emitIfIn, emitUnlessIn } from "../../../programs/address-set.ts";
import { loadTos } from "../../../programs/ip-header.ts";
import { KIND, NO_PROTOCOL } from "../../../programs/packet.ts";
import { quotedAddresses } from "../../../programs/quote.ts";
import type { ParsedPacket } from "./frame.ts";

/** What the conditions of a rule depend on besides the rule. */
export interface ConditionContext {
	/** The TOS byte is on the stack, because a rule of the group may clear the DSCP. */
	readonly tosOnStack: boolean;
	/** The code must compare the DSCP itself: it may have been cleared, or the group is for any DSCP. */
	readonly checkDscp: boolean;
}

/** True if the rule has `addrtype LOCAL`. */
export function asksForLocal(rule: Rule): boolean {
	return rule.matches.some(({ kind }) => kind === "addrtype");
}

/** All conditions of the rule, in the order of ip_tables. */
export function emitConditions(
	packet: ParsedPacket,
	rule: Rule,
	context: ConditionContext,
	miss: Label,
): void {
	const { header, target } = rule;
	if (target.icmpErrors === true || target.laterFragments === true) {
		emitFollowing(packet, rule, context, miss);
		return;
	}
	emitSource(packet, rule, miss);
	emitDestination(packet, rule, miss);
	// -i holds by construction: the program is attached to that interface.
	if (header.protocol !== undefined) emitProtocol(packet, header.protocol, miss);
	emitFragment(packet, rule, miss);
	for (const match of rule.matches) emitMatch(packet, match, context, miss);
}

function emitSource(packet: ParsedPacket, { header: { source } }: Rule, miss: Label): void {
	if (source === undefined) return;
	packet.p.comment("source");
	emitPrefix(packet, packet.source, source, miss);
}

function emitDestination(packet: ParsedPacket, { header: { destination } }: Rule, miss: Label): void {
	if (destination === undefined) return;
	packet.p.comment("destination");
	emitPrefix(packet, destinationNow(packet), destination, miss);
}

function emitFragment({ p, kind }: ParsedPacket, { header: { fragment } }: Rule, miss: Label): void {
	if (fragment === undefined) return;
	const { negated } = fragment;
	p.comment(negated ? "no later fragment" : "a later fragment");
	if (negated) p.gotoIf(kind, "&", KIND.laterFragment, miss);
	else p.gotoUnless(kind, "&", KIND.laterFragment, miss);
}

/**
 * For a rule that also takes packets without their own transport header. Besides its other conditions, one of three
 * must hold: protocol and ports match, the packet is a later fragment of the protocol, or it is an ICMP error that
 * quotes the ports.
 */
function emitFollowing(packet: ParsedPacket, rule: Rule, context: ConditionContext, miss: Label): void {
	const { p, kind } = packet;
	const { protocol } = rule.header;
	const { icmpErrors = false, laterFragments = false } = rule.target;
	if (protocol === undefined)
		throw new TypeError("a rule that takes ICMP errors or fragments needs a protocol");
	emitDestination(packet, rule, miss);
	emitFragment(packet, rule, miss);
	for (const match of rule.matches) if (!isOfPorts(match)) emitMatch(packet, match, context, miss);
	const met = p.label("taken");
	const other = p.label("no port");
	emitSource(packet, rule, other);
	emitProtocol(packet, protocol, other);
	for (const match of rule.matches) if (isOfPorts(match)) emitMatch(packet, match, context, other);
	p.goto(met);
	p.place(other);
	if (laterFragments) {
		const another = icmpErrors ? p.label("not a later fragment") : miss;
		p.comment("or a later fragment");
		p.gotoUnless(kind, "&", KIND.laterFragment, another);
		emitSource(packet, rule, another);
		emitProtocol(packet, protocol, another);
		if (icmpErrors) {
			p.goto(met);
			p.place(another);
		}
	}
	if (icmpErrors) emitQuoted(packet, rule, protocol.number, miss);
	p.place(met);
}

/** Falls through for an ICMP error that quotes an answer of one of the rule's flows. */
function emitQuoted(packet: ParsedPacket, rule: Rule, protocol: number, miss: Label): void {
	const { p, quote } = packet;
	if (quote === undefined) throw new TypeError("a rule asks for a quote that is not read");
	const { source, destination } = quotedAddresses(packet, quote);
	p.comment("or an ICMP error about an answer");
	p.gotoIf(quote.all.protocol, "!=", protocol, miss);
	p.gotoUnlessBytes(source, Uint8Array.from(rule.target.daddr.bytes), miss);
	if (rule.header.source !== undefined) emitPrefix(packet, destination, rule.header.source, miss);
	// An answer has the flow's ports swapped.
	const ports = { source: quote.ports.destination, destination: quote.ports.source };
	for (const match of rule.matches) {
		if (match.kind === "ports") emitPortRanges(packet, match, ports, miss);
		if (match.kind === "multiport") emitListedPorts(packet, match, ports, miss);
	}
}

type Ports = Readonly<Record<"source" | "destination", Place>>;

/** The destination as changed by the rules so far. */
export function destinationNow({ stack, destination }: ParsedPacket): Place {
	const { field } = destination;
	return { ...stack.address, name: "destination", field: { ...field, order: "none", offset: 0 } };
}

function emitPrefix(
	{ p }: ParsedPacket,
	address: Place,
	{ prefix, negated }: { readonly prefix: Prefix; readonly negated: boolean },
	miss: Label,
): void {
	if (negated) emitIfIn(p, address, [prefix], miss);
	else emitUnlessIn(p, address, [prefix], miss);
}

/** What `-p` compares with in IPv4. */
function protocolOf({ p, kind }: ParsedPacket): Value {
	return p.copy(kind, "protocol").and(0xff);
}

function emitProtocol(
	packet: ParsedPacket,
	{ number, negated }: { readonly number: number; readonly negated: boolean },
	miss: Label,
): void {
	const { p, family, stack } = packet;
	p.comment(`protocol ${number}`);
	using protocol = family === "ipv4" ? protocolOf(packet) : p.load(stack.slots.protocol);
	if (family === "ipv6" && negated) p.gotoIf(protocol, "==", NO_PROTOCOL, miss);
	p.gotoIf(protocol, missIf(negated), number, miss);
}

/** The comparison that holds if the match does not. */
function missIf(negated: boolean): Comparison {
	return negated ? "==" : "!=";
}

function emitMatch(packet: ParsedPacket, match: Match, context: ConditionContext, miss: Label): void {
	const { p, skb, stack } = packet;
	switch (match.kind) {
		case "dscp": {
			if (!context.checkDscp) return;
			p.comment(`DSCP ${match.dscp}`);
			using dscp = tosNow(packet, context).rsh(2);
			p.gotoIf(dscp, missIf(match.negated), match.dscp, miss);
			return;
		}
		case "tos": {
			p.comment(`TOS ${match.value}/${match.mask}`);
			using tos = tosNow(packet, context).and(match.mask);
			p.gotoIf(tos, missIf(match.negated), match.value, miss);
			return;
		}
		case "ecn": {
			p.comment(`ECN ${match.ect}`);
			using ecn = tosNow(packet, context).and(3);
			p.gotoIf(ecn, missIf(match.negated), match.ect, miss);
			return;
		}
		case "mark": {
			if (skb === undefined) throw new Error("a packet has no mark at XDP");
			p.comment(`mark ${match.value}/${match.mask}`);
			using mark = p.load(skb.mark).and(match.mask);
			p.gotoIf(mark, missIf(match.negated), match.value, miss);
			return;
		}
		case "mac":
			emitMac(packet, match, miss);
			return;
		case "ports":
			emitPorts(packet, match, miss);
			return;
		case "multiport":
			emitMultiport(packet, match, miss);
			return;
		case "addrtype":
			p.comment(`destination is ${match.negated ? "not " : ""}this host's`);
			p.gotoIf(stack.slots.destinationLocal, match.negated ? "!=" : "==", 0, miss);
			return;
		case "length": {
			using length = p.load(stack.slots.length);
			emitRange(packet, "length", length, match, match.negated, miss);
			return;
		}
		case "ttl": {
			p.comment(`TTL ${match.comparison} ${match.value}`);
			const misses = { eq: missIf(match.negated), lt: ">=", gt: "<=" } as const;
			p.gotoIf(packet.hopLimit, misses[match.comparison], match.value, miss);
			return;
		}
		case "comment":
			return;
	}
}

/** TOS or Traffic Class as changed by the rules so far. */
function tosNow(packet: ParsedPacket, { tosOnStack }: ConditionContext): Value {
	return tosOnStack ? packet.p.load(packet.stack.slots.tos) : loadTos(packet);
}

function emitMac(
	{ p, data, target }: ParsedPacket,
	{ source, negated }: Extract<Match, { kind: "mac" }>,
	miss: Label,
): void {
	p.comment("source MAC");
	// Without an Ethernet header, xt_mac does not match, even with `!`.
	const other = negated ? p.label("other") : miss;
	if (target.linkHeaderBytes > 0)
		p.gotoUnlessBytes(view(data, ETHERNET).source, Uint8Array.from(source), other);
	if (target.linkHeaderBytes === 0 || negated) p.goto(miss);
	if (negated) p.place(other);
}

function emitPorts(packet: ParsedPacket, match: Extract<Match, { kind: "ports" }>, miss: Label): void {
	const { p, stack } = packet;
	p.comment(`${match.module} with ports`);
	p.gotoIf(stack.slots.hasPorts, "==", 0, miss);
	{
		using protocol = protocolOf(packet);
		p.gotoIf(protocol, "!=", PROTOCOL_NUMBER[match.module], miss);
	}
	emitPortRanges(packet, match, stack.ports, miss);
}

function emitPortRanges(
	packet: ParsedPacket,
	match: Extract<Match, { kind: "ports" }>,
	ports: Ports,
	miss: Label,
): void {
	const { p } = packet;
	for (const side of ["source", "destination"] as const) {
		const range = match[side];
		if (range === undefined) continue;
		using port = p.load(ports[side]).toHost();
		emitRange(packet, `${side} port`, port, range, range.negated, miss);
	}
}

function emitMultiport(
	packet: ParsedPacket,
	match: Extract<Match, { kind: "multiport" }>,
	miss: Label,
): void {
	const { p, stack } = packet;
	p.comment("multiport: with ports");
	p.gotoIf(stack.slots.hasPorts, "==", 0, miss);
	emitListedPorts(packet, match, stack.ports, miss);
}

function emitListedPorts(
	packet: ParsedPacket,
	match: Extract<Match, { kind: "multiport" }>,
	ports: Ports,
	miss: Label,
): void {
	const { p } = packet;
	const listed = match.negated ? miss : p.label("port listed");
	for (const side of ["source", "destination"] as const) {
		if (match.direction !== side && match.direction !== "either") continue;
		p.comment(`${side} port`);
		using port = p.load(ports[side]).toHost();
		for (const range of match.ports) emitIfInRange(packet, port, range, listed);
	}
	if (match.negated) return;
	p.comment("not listed");
	p.goto(miss);
	p.place(listed);
}

/** Jumps to `hit` if the value is in the range, else falls through. */
function emitIfInRange({ p }: ParsedPacket, value: Value, { first, last }: NumberRange, hit: Label): void {
	if (first === last) {
		p.gotoIf(value, "==", first, hit);
		return;
	}
	const below = p.label("below");
	p.gotoIf(value, "<", first, below);
	p.gotoIf(value, "<=", last, hit);
	p.place(below);
}

/** Jumps to `miss` unless the value is in the range (with `negated`: if it is). */
function emitRange(
	packet: ParsedPacket,
	what: string,
	value: Value,
	range: NumberRange,
	negated: boolean,
	miss: Label,
): void {
	const { p } = packet;
	const { first, last } = range;
	p.comment(`${what} ${negated ? "not " : ""}${first}-${last}`);
	if (negated) emitIfInRange(packet, value, range, miss);
	else if (first === last) p.gotoIf(value, "!=", first, miss);
	else {
		p.gotoIf(value, "<", first, miss);
		p.gotoIf(value, ">", last, miss);
	}
}
