/** Why a rule did not match a packet: every condition that fails, in words. Pure. */
import {
	addressFromBytes,
	type Dscp,
	dscpOfTos,
	formatDscp,
	isDscp,
	type ParsedPacket,
	wordAt,
} from "@l3dsr/packet";
import type { Match, Rule, RuleHeader } from "../../model/rule.ts";
import { type FailedMatch, firstFailedMatch, type PacketContext } from "../../rewrite/oracle/match.ts";
import { saveHeader } from "../../syntax/iptables/header.ts";
import { saveMatch } from "../../syntax/iptables/matches.ts";
import { protocolName } from "../../syntax/iptables/names.ts";

export interface FailedCondition {
	/** As in the rule: `-m dscp --dscp 0x1c`. */
	readonly condition: string;
	/** What the packet has instead: `the packet has DSCP 7 (TOS 0x1c)`. */
	readonly packet: string;
	/** The condition is only about DSCP: in a table of VIPs every other rule fails this way. */
	readonly dscpOnly: boolean;
	/** The likely reason, if known. */
	readonly hint?: string;
}

/** Empty if the rule matches; undefined for another family. */
export function failedConditions(
	rule: Rule,
	bytes: Uint8Array,
	packet: ParsedPacket,
	context: PacketContext,
): FailedCondition[] | undefined {
	const failed: FailedCondition[] = [];
	let rest = rule;
	for (;;) {
		const first = firstFailedMatch(rest, packet, bytes, context);
		if (first === undefined) return failed;
		if (first.part === "family") return undefined;
		failed.push(describe(rest, first, bytes, packet, context));
		rest = without(rest, first);
	}
}

function without(rule: Rule, failed: Exclude<FailedMatch, { part: "family" }>): Rule {
	if (failed.part === "match") {
		return { ...rule, matches: rule.matches.filter((_, index) => index !== failed.index) };
	}
	const { [failed.field]: _, ...header } = rule.header;
	return { ...rule, header };
}

function describe(
	rule: Rule,
	failed: Exclude<FailedMatch, { part: "family" }>,
	bytes: Uint8Array,
	packet: ParsedPacket,
	context: PacketContext,
): FailedCondition {
	if (failed.part === "header") {
		const { field } = failed;
		const value = rule.header[field];
		return {
			condition: saveHeader(value === undefined ? {} : { [field]: value }).trim(),
			packet: headerValue(field, packet, context),
			dscpOnly: false,
		};
	}
	const match = rule.matches[failed.index];
	if (match === undefined) return { condition: "", packet: "", dscpOnly: false };
	const hint = hintFor(match, packet);
	return {
		condition: saveMatch(match, rule.family),
		packet: matchValue(match, bytes, packet, context),
		dscpOnly: match.kind === "dscp",
		...(hint === undefined ? {} : { hint }),
	};
}

function headerValue(field: keyof RuleHeader, packet: ParsedPacket, context: PacketContext): string {
	switch (field) {
		case "source":
			return `the packet is from ${addressFromBytes(packet.source).text}`;
		case "destination":
			return `the packet is for ${addressFromBytes(packet.destination).text}`;
		case "inInterface":
			return `it came in ${context.inInterface || "no interface"}`;
		case "outInterface":
			return context.outInterface === ""
				? "its egress interface is unknown here"
				: `it goes out ${context.outInterface}`;
		case "protocol":
			return packet.protocol === undefined
				? "its protocol cannot be found"
				: `the packet is ${protocolName(packet.protocol)}`;
		case "fragment":
			return packet.laterFragment ? "the packet is a later fragment" : "the packet is not a later fragment";
	}
}

function matchValue(match: Match, bytes: Uint8Array, packet: ParsedPacket, context: PacketContext): string {
	const tos = `0x${packet.tos.toString(16).padStart(2, "0")}`;
	switch (match.kind) {
		case "dscp":
			return `the packet has DSCP ${formatDscp(dscpOfTos(packet.tos))}`;
		case "tos":
			return `the packet has TOS ${tos}, which is DSCP ${dscpOfTos(packet.tos)} and ECN ${packet.tos & 3}`;
		case "ecn":
			return `the packet has ECN ${packet.tos & 3}`;
		case "mark":
			return `the packet's mark is 0x${context.mark.toString(16)}`;
		case "mac":
			return context.sourceMac === undefined
				? "its sender's Ethernet address is not known"
				: `it came from ${context.sourceMac.map((byte) => byte.toString(16).padStart(2, "0")).join(":")}`;
		case "ports":
		case "multiport":
			return portsText(bytes, packet);
		case "addrtype":
			return `${addressFromBytes(packet.destination).text} is ${match.negated ? "an" : "no"} address of this host`;
		case "length":
			return `the packet has ${packet.length} bytes`;
		case "ttl":
			return `the packet's ${packet.family === "ipv4" ? "TTL" : "hop limit"} is ${packet.ttl}`;
		case "comment":
			return "";
	}
}

function portsText(bytes: Uint8Array, { transport, protocol, laterFragment }: ParsedPacket): string {
	if (laterFragment) return "a later fragment has no ports";
	const name = protocol === undefined ? "a packet whose protocol cannot be found" : protocolName(protocol);
	if (transport === undefined || !transport.portsPresent) return `the packet is ${name}, without ports`;
	return `the packet is ${name}, port ${wordAt(bytes, transport.offset)} to ${wordAt(bytes, transport.offset + 2)}`;
}

/** A common confusion: the TOS byte instead of the DSCP, or the reverse. */
function hintFor(match: Match, packet: ParsedPacket): string | undefined {
	if (match.kind === "tos" && !match.negated && match.mask === 0xff && match.value === (packet.tos & 0xfc)) {
		return "the rule compares the ECN bits too: -m dscp leaves them out";
	}
	if (match.kind !== "dscp" || match.negated) return undefined;
	return factorOfFour(match.dscp, dscpOfTos(packet.tos));
}

function factorOfFour(wanted: Dscp, has: Dscp): string | undefined {
	if (has === 0 || wanted === 0) return undefined;
	if (wanted === has * 4) {
		return `${wanted} is the TOS byte of DSCP ${has}: the rule may use the TOS byte as the DSCP`;
	}
	if (has === wanted * 4 && isDscp(has)) {
		return `${has} is the TOS byte of DSCP ${wanted}: the sender may use the TOS byte as the DSCP`;
	}
	return undefined;
}
