/**
 * Straight-line code for DSCPs with more than one plain rule: runs every rule in order, each with the destination,
 * DSCP and port as changed by the earlier ones. The packet itself is written once, at the end.
 */

import type { Label } from "@l3dsr/bpf";
import { complementOfSum, prefixContains } from "@l3dsr/packet";
import { asksForPorts, type Rule } from "../../../model/rule.ts";
import { emitCountIn } from "../../../programs/count.ts";
import { emitForgetWay } from "../../../programs/forget.ts";
import { loadDscp, loadTos } from "../../../programs/ip-header.ts";
import { NO_PROTOCOL } from "../../../programs/packet.ts";
import { emitLoadPorts, emitNoPorts } from "../../../programs/ports.ts";
import { emitLoadQuote, emitSetQuotedPort } from "../../../programs/quote.ts";
import {
	emitTransportChecksum,
	hasPortsAndChecksum,
	keepDifference,
} from "../../../programs/transport-checksum.ts";
import { asksForLocal, destinationNow, emitConditions } from "./conditions.ts";
import type { DispatchGroup } from "./dispatch.ts";
import { ACTION, type ParsedPacket } from "./frame.ts";
import { emitLocal } from "./local-addresses.ts";
import { emitReport } from "./report.ts";
import { emitClearDscp, emitRewriteAddress, type NewAddress } from "./rewrite-address.ts";
import { emitPortChecksum, emitSetPort } from "./set-port.ts";

/** The TOS byte without its DSCP. */
const ECN = 0x03;

/** What any rule of the groups needs; it is prepared for all of them. */
interface Needs {
	readonly setsPort: boolean;
	readonly clears: "every rule" | boolean;
	readonly local: boolean;
	/** An ICMP error may quote a flow whose port a rule sets. */
	readonly setsQuotedPort: boolean;
}

/** All groups of one family: prepares the values to compare, runs the group's rules, writes the packet. */
export function emitGroups(packet: ParsedPacket, groups: readonly DispatchGroup[]): void {
	const { p } = packet;
	const rules = groups.flatMap((group) => group.rules.map(({ rule }) => rule.rule));
	const clearing = rules.filter((rule) => rule.target.clearDscp);
	const needs: Needs = {
		setsPort: rules.some((rule) => rule.target.dport !== undefined),
		clears: clearing.length > 0 && (clearing.length === rules.length ? "every rule" : true),
		local: rules.some(asksForLocal),
		setsQuotedPort: rules.some(setsQuotedPort),
	};
	emitForgetWay(packet);
	emitMakeReady(packet, needs);
	emitPorts(packet, groups, needs);
	if (packet.quote !== undefined && rules.some(({ target }) => target.icmpErrors === true))
		emitLoadQuote(packet, packet.quote);
	const labels = groups.map((_, index) => p.label(`group ${index + 1}`));
	const write = p.label("write");
	p.comment("which rules does this DSCP have?");
	{
		using dscp = loadDscp(packet);
		p.gotoOneOf(
			dscp,
			new Map(groups.flatMap(({ dscps }, i) => dscps.map((one) => [one, labels[i] ?? write]))),
		);
	}
	groups.forEach((group, index) => {
		p.place(labels[index] ?? write);
		emitRules(packet, group, needs);
		p.comment("all rules seen");
		p.goto(write);
	});
	p.place(write);
	emitWrite(packet, needs);
}

/** Prepares what rules compare: destination, TOS byte, and whether the destination is ours. */
function emitMakeReady(packet: ParsedPacket, needs: Needs): void {
	const { p, stack } = packet;
	const { slots } = stack;
	p.comment("nothing asked for yet");
	p.store(slots.actions, 0);
	if (packet.family === "ipv6") p.store(slots.addressComplement, 0);
	if (packet.target.report !== undefined) p.store(slots.key, 0);
	p.comment("the destination, as rules compare it");
	p.copyBytes(destinationNow(packet), packet.destination);
	if (needs.clears) {
		p.comment("the TOS byte, as rules compare it");
		using tos = loadTos(packet);
		p.store(slots.tos, tos);
	}
	if (needs.local) {
		const known = p.label("local known");
		p.comment("suppose that the destination is not this host's");
		p.store(slots.destinationLocal, 0);
		emitLocal(packet, known);
		p.comment("it is");
		p.store(slots.destinationLocal, 1);
		p.place(known);
	}
}

/** The packet's ports, for groups whose rules compare or set them. */
function emitPorts(packet: ParsedPacket, groups: readonly DispatchGroup[], { setsPort }: Needs): void {
	const { p } = packet;
	const wanting = groups.filter((group) =>
		group.rules.some(({ rule }) => rule.rule.target.dport !== undefined || asksForPorts(rule.rule)),
	);
	if (wanting.length === 0) return;
	const ready = p.label("ports ready");
	emitNoPorts(packet);
	if (wanting.length < groups.length) {
		p.comment("a DSCP whose rules ask for ports, or set them?");
		using dscp = loadDscp(packet);
		p.gotoUnlessMember(
			dscp,
			wanting.flatMap(({ dscps }) => dscps),
			ready,
		);
	}
	emitLoadPorts(packet);
	if (setsPort) emitPortChecksum(packet);
	p.place(ready);
}

/** The rules of one group in order, each with the values that the earlier ones left. */
function emitRules(packet: ParsedPacket, group: DispatchGroup, needs: Needs): void {
	const { p } = packet;
	for (const { rule, checkDscp } of group.rules) {
		const miss = p.label(`rule ${rule.ordinal} end`);
		emitConditions(packet, rule.rule, { tosOnStack: needs.clears !== false, checkDscp }, miss);
		emitCountIn(packet, `rule ${rule.ordinal} (${rule.rule.target.daddr.text}) matches: count`, rule.slot);
		emitRemember(packet, rule.rule, needs);
		p.place(miss);
	}
}

/** Notes what a matching rule asks for, for later rules and for the end. */
function emitRemember(packet: ParsedPacket, rule: Rule, needs: Needs): void {
	const { p, family, local, stack } = packet;
	const { target } = rule;
	const { slots } = stack;
	const { bytes, text } = target.daddr;
	p.comment(`destination := ${text}`);
	p.storeBytes(destinationNow(packet), Uint8Array.from(bytes));
	if (family === "ipv6") p.store(slots.addressComplement, complementOfSum(bytes));
	if (needs.local) {
		const isLocal = local.some((prefix) => prefixContains(prefix, target.daddr));
		p.store(slots.destinationLocal, isLocal ? 1 : 0);
	}
	emitAsk(packet, ACTION.rewrite | (target.clearDscp ? ACTION.clearDscp : 0));
	if (target.clearDscp) {
		p.comment("DSCP := 0");
		using tos = p.load(slots.tos).and(ECN);
		p.store(slots.tos, tos);
	}
	if (target.dport !== undefined) {
		p.comment(`destination port := ${target.dport}`);
		const kept = p.label("port kept");
		p.gotoIf(slots.portChecksum, "==", 0, kept);
		p.store(stack.ports.destination, target.dport);
		emitAsk(packet, ACTION.setPort);
		p.place(kept);
	}
	const { quote } = packet;
	if (target.dport !== undefined && quote !== undefined && setsQuotedPort(rule)) {
		p.comment("in an ICMP error, the port of the answer that it quotes");
		const none = p.label("no quoted port");
		p.gotoIf(quote.all.protocol, "==", NO_PROTOCOL, none);
		p.store(quote.ports.source, target.dport);
		emitAsk(packet, ACTION.setQuotedPort);
		p.place(none);
	}
}

/** True if the rule also sets the port in flows that ICMP errors quote. */
function setsQuotedPort({ header, target }: Rule): boolean {
	return (
		target.icmpErrors === true &&
		target.dport !== undefined &&
		header.protocol !== undefined &&
		hasPortsAndChecksum(header.protocol.number)
	);
}

function emitAsk({ p, stack }: ParsedPacket, actions: number): void {
	using asked = p.load(stack.slots.actions).or(actions);
	p.store(stack.slots.actions, asked);
}

/** Writes everything that the rules asked for into the packet. */
function emitWrite(packet: ParsedPacket, needs: Needs): void {
	const { p, family, stack, target, pass } = packet;
	const { actions, addressComplement, key } = stack.slots;
	p.comment("no rule matched: leave the packet alone");
	p.gotoIf(actions, "==", 0, pass);
	const address = destinationNow(packet);
	const to: NewAddress =
		family === "ipv4" ? { address } : { address, complement: addressComplement, storedBytes: 4 };
	if (target.report !== undefined) {
		emitReport(packet, target.report, to, key);
		return;
	}
	if (needs.clears === "every rule") emitClearDscp(packet);
	else if (needs.clears) {
		p.comment("was the DSCP cleared?");
		p.unlikely(actions, "&", ACTION.clearDscp, () => emitClearDscp(packet));
	}
	const difference = keepDifference(packet, emitRewriteAddress(packet, to));
	const done: Label = needs.setsPort ? p.label("port") : pass;
	emitTransportChecksum(packet, difference, done);
	if (!needs.setsPort) return;
	p.place(done);
	const { quote } = packet;
	if (quote === undefined || !needs.setsQuotedPort) {
		emitSetPort(packet);
		return;
	}
	const quoted = p.label("quoted port");
	p.comment("was a quoted port set?");
	p.gotoIf(actions, "&", ACTION.setQuotedPort, quoted);
	emitSetPort(packet);
	p.place(quoted);
	emitSetQuotedPort(packet, quote, "source", pass);
	p.goto(pass);
}
