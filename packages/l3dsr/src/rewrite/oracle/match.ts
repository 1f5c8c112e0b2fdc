/** Decides whether a rule matches a packet. Each match decides as its xt_* module in the kernel does. */
import {
	addressFromBytes,
	dscpOfTos,
	type ParsedPacket,
	PORT_PROTOCOLS,
	PROTOCOL_NUMBER,
	type Prefix,
	prefixContains,
	quoteOf,
	sameAddress,
	wordAt,
} from "@l3dsr/packet";
import type { InterfaceMatch, Match, NumberRange, Rule, RuleHeader } from "../../model/rule.ts";

/** What the kernel knows about a packet besides its bytes. */
export interface PacketContext {
	/** Empty at hooks without an input interface, as in the kernel. */
	readonly inInterface: string;
	readonly outInterface: string;
	/** Unsigned, 32 bits. */
	readonly mark: number;
	/** From the Ethernet header; undefined on devices without one (then `-m mac` never matches). */
	readonly sourceMac?: readonly number[];
	/** Routes of type "local", for `-m addrtype --dst-type LOCAL`. */
	readonly local: readonly Prefix[];
}

/** The first condition of a rule that a packet does not meet, in the order of the kernel. */
export type FailedMatch =
	| { readonly part: "family" }
	| { readonly part: "header"; readonly field: keyof RuleHeader }
	/** `index`: in the rule's matches. */
	| { readonly part: "match"; readonly index: number };

/** Undefined if the rule matches. `packet` was parsed from `bytes`. */
export function firstFailedMatch(
	rule: Rule,
	packet: ParsedPacket,
	bytes: Uint8Array,
	context: PacketContext,
): FailedMatch | undefined {
	const failed = firstFailedCondition(rule, packet, bytes, context);
	if (failed === undefined) return undefined;
	const followed = followedRule(rule, packet, bytes);
	return followed === undefined ? failed : firstFailedCondition(followed, packet, bytes, context);
}

/**
 * The remaining conditions of a rule for a packet that it takes without a matching transport header of its own: a
 * later fragment, or an ICMP error that quotes an answer of one of the rule's flows. Undefined for other packets.
 */
function followedRule(rule: Rule, packet: ParsedPacket, bytes: Uint8Array): Rule | undefined {
	const { icmpErrors = false, laterFragments = false, daddr } = rule.target;
	const { protocol, source, ...header } = rule.header;
	if (protocol === undefined || protocol.negated || !PORT_PROTOCOLS.includes(protocol.number))
		return undefined;
	const matches = rule.matches.filter(({ kind }) => kind !== "ports" && kind !== "multiport");
	const withSource = source === undefined ? header : { ...header, source };
	if (laterFragments && packet.laterFragment && packet.protocol === protocol.number)
		return { ...rule, matches, header: withSource };
	const quote = icmpErrors ? quoteOf(bytes, packet) : undefined;
	if (quote === undefined || quote.protocol !== protocol.number) return undefined;
	if (!sameAddress(addressFromBytes(quote.source), daddr)) return undefined;
	if (source && prefixContains(source.prefix, addressFromBytes(quote.destination)) === source.negated)
		return undefined;
	// An answer has the flow's ports swapped.
	const ports = { source: quote.destinationPort, destination: quote.sourcePort };
	if (!rule.matches.every((match) => portsMatch(match, protocol.number, ports))) return undefined;
	return { ...rule, matches, header };
}

function firstFailedCondition(
	rule: Rule,
	packet: ParsedPacket,
	bytes: Uint8Array,
	context: PacketContext,
): FailedMatch | undefined {
	if (rule.family !== packet.family) return { part: "family" };
	const field = failedHeaderField(rule.header, packet, context);
	if (field !== undefined) return { part: "header", field };
	const index = rule.matches.findIndex((match) => !matches(match, packet, bytes, context));
	return index < 0 ? undefined : { part: "match", index };
}

/** In the order of ip_packet_match and ip6_packet_match. */
function failedHeaderField(
	header: RuleHeader,
	packet: ParsedPacket,
	context: PacketContext,
): keyof RuleHeader | undefined {
	const { source, destination, inInterface, outInterface, protocol, fragment } = header;
	if (source && prefixContains(source.prefix, addressFromBytes(packet.source)) === source.negated) {
		return "source";
	}
	if (
		destination &&
		prefixContains(destination.prefix, addressFromBytes(packet.destination)) === destination.negated
	) {
		return "destination";
	}
	if (inInterface && !interfaceMatches(inInterface, context.inInterface)) return "inInterface";
	if (outInterface && !interfaceMatches(outInterface, context.outInterface)) return "outInterface";
	// A packet whose protocol cannot be found matches neither `-p X` nor `! -p X`.
	if (
		protocol &&
		(packet.protocol === undefined || (packet.protocol === protocol.number) === protocol.negated)
	) {
		return "protocol";
	}
	if (fragment && packet.laterFragment === fragment.negated) return "fragment";
	return undefined;
}

function interfaceMatches(match: InterfaceMatch, name: string): boolean {
	const same = match.wildcard ? name.startsWith(match.name) : name === match.name;
	return same !== match.negated;
}

function matches(match: Match, packet: ParsedPacket, bytes: Uint8Array, context: PacketContext): boolean {
	switch (match.kind) {
		case "dscp":
			return (dscpOfTos(packet.tos) === match.dscp) !== match.negated;
		case "tos":
			return ((packet.tos & match.mask) === match.value) !== match.negated;
		case "ecn":
			return ((packet.tos & 0x03) === match.ect) !== match.negated;
		case "mark":
			return ((context.mark & match.mask) >>> 0 === match.value >>> 0) !== match.negated;
		case "mac": {
			const { sourceMac } = context;
			// Without an Ethernet header, xt_mac does not match, even with `!`.
			if (sourceMac === undefined) return false;
			return match.source.every((byte, i) => byte === sourceMac[i]) !== match.negated;
		}
		case "ports":
		case "multiport": {
			const ports = portsOf(packet, bytes);
			return ports !== undefined && portsMatch(match, packet.protocol, ports);
		}
		case "addrtype": {
			const destination = addressFromBytes(packet.destination);
			return context.local.some((prefix) => prefixContains(prefix, destination)) !== match.negated;
		}
		case "length":
			return inRange(packet.length, match) !== match.negated;
		case "ttl":
			if (match.comparison === "lt") return packet.ttl < match.value;
			if (match.comparison === "gt") return packet.ttl > match.value;
			return (packet.ttl === match.value) !== match.negated;
		case "comment":
			return true;
	}
}

interface Ports {
	readonly source: number;
	readonly destination: number;
}

/** True if the match accepts these ports, or is not about ports. */
function portsMatch(match: Match, protocol: number | undefined, ports: Ports): boolean {
	if (match.kind === "ports") {
		const { source, destination } = match;
		return (
			protocol === PROTOCOL_NUMBER[match.module] &&
			(source === undefined || inRange(ports.source, source) !== source.negated) &&
			(destination === undefined || inRange(ports.destination, destination) !== destination.negated)
		);
	}
	if (match.kind !== "multiport") return true;
	const hit = match.ports.some(
		(range) =>
			(match.direction !== "destination" && inRange(ports.source, range)) ||
			(match.direction !== "source" && inRange(ports.destination, range)),
	);
	return hit !== match.negated;
}

/**
 * The ports that a rule can match: those of an unfragmented packet or a first fragment that contains both. (xt_tcp
 * and others need the whole header and drop shorter packets; here such a packet has ports.)
 */
function portsOf(packet: ParsedPacket, bytes: Uint8Array): Ports | undefined {
	const { transport } = packet;
	// After a mobility, HIP or shim6 header there are no ports for a rule, as in the kernel.
	if (transport === undefined || !transport.portsPresent || transport.protocol !== packet.protocol) {
		return undefined;
	}
	return { source: wordAt(bytes, transport.offset), destination: wordAt(bytes, transport.offset + 2) };
}

function inRange(value: number, range: NumberRange): boolean {
	return value >= range.first && value <= range.last;
}
