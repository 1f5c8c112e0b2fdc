/** Does a rule match a packet? Each match decides as its xt_* module in the kernel does. */
import {
	addressFromBytes,
	dscpOfTos,
	type ParsedPacket,
	PROTOCOL_NUMBER,
	type Prefix,
	prefixContains,
	wordAt,
} from "@l3dsr/packet";
import type { InterfaceMatch, Match, NumberRange, Rule, RuleHeader } from "../../model/rule.ts";

/** What the kernel knows of a packet beside its bytes. */
export interface PacketContext {
	/** Empty at hooks that have no such interface, as in the kernel. */
	readonly inInterface: string;
	readonly outInterface: string;
	/** Unsigned 32 bit. */
	readonly mark: number;
	/** Of the Ethernet header; undefined on devices that have none (then `-m mac` never matches). */
	readonly sourceMac?: readonly number[];
	/** Routes of type "local": what `-m addrtype --dst-type LOCAL` asks for. */
	readonly local: readonly Prefix[];
}

/** The first condition of a rule that a packet does not meet, in the order in which the kernel asks. */
export type FailedMatch =
	| { readonly part: "family" }
	| { readonly part: "header"; readonly field: keyof RuleHeader }
	/** `index` into the rule's matches. */
	| { readonly part: "match"; readonly index: number };

/** Undefined when the rule matches. `bytes` is the packet that `packet` was parsed from. */
export function firstFailedMatch(
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
			// Without an Ethernet header xt_mac says no before it looks at the `!`.
			if (sourceMac === undefined) return false;
			return match.source.every((byte, i) => byte === sourceMac[i]) !== match.negated;
		}
		case "ports": {
			const ports = portsOf(packet, bytes);
			if (ports === undefined || packet.protocol !== PROTOCOL_NUMBER[match.module]) return false;
			const { source, destination } = match;
			return (
				(source === undefined || inRange(ports.source, source) !== source.negated) &&
				(destination === undefined || inRange(ports.destination, destination) !== destination.negated)
			);
		}
		case "multiport": {
			const ports = portsOf(packet, bytes);
			if (ports === undefined) return false;
			const hit = match.ports.some(
				(range) =>
					(match.direction !== "destination" && inRange(ports.source, range)) ||
					(match.direction !== "source" && inRange(ports.destination, range)),
			);
			return hit !== match.negated;
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

/**
 * The ports that a rule can match on: in an unfragmented packet or a first fragment, with both ports in it.
 * (xt_tcp and its like ask for their whole header and drop what is shorter; here such a packet has ports.)
 */
function portsOf(
	packet: ParsedPacket,
	bytes: Uint8Array,
): { source: number; destination: number } | undefined {
	const { transport } = packet;
	// Behind a mobility, HIP or shim6 header there are no ports for a rule, as in the kernel.
	if (transport === undefined || !transport.portsPresent || transport.protocol !== packet.protocol) {
		return undefined;
	}
	return { source: wordAt(bytes, transport.offset), destination: wordAt(bytes, transport.offset + 2) };
}

function inRange(value: number, range: NumberRange): boolean {
	return value >= range.first && value <= range.last;
}
