/** Why a connection fails although the VIP answers the SYN, and what else the connection shows. Pure. */
import { type Family, formatDscp, sameAddress } from "@l3dsr/packet";
import type { ProbeTarget } from "../model/probe-target.ts";
import type { Answer } from "./answer.ts";
import type { Conversation } from "./conversation.ts";
import { type Explanation, NOTHING } from "./explanation.ts";

/** Segments that fit every path: RFC 9293 (IPv4), RFC 8200 (IPv6: 1280 minus the headers). */
export const SMALL_SEGMENT_BYTES: Readonly<Record<Family, number>> = { ipv4: 536, ipv6: 1220 };

/** A connection along a VIP's path, and what was asked because of it. */
export interface Connected {
	readonly conversation: Conversation;
	/** The same connection with small segments, if an answer was missing or had a gap. */
	readonly small?: Conversation;
	/** The answer to an echo request of 1,500 bytes with the same mark, which must not be fragmented. */
	readonly large?: Answer;
}

/** Nothing for a connection that worked. */
export type ConnectionOutcome =
	/** What follows the SYN+ACK is ignored. */
	| "handshake-ignored"
	| "connection-reset"
	/** The request is acknowledged, but its answer is missing or incomplete. */
	| "request-unanswered";

export function judgeConnection({ conversation }: Connected): ConnectionOutcome | undefined {
	switch (conversation.kind) {
		case "complete":
			return undefined;
		case "ignored":
			return "handshake-ignored";
		case "reset":
			return "connection-reset";
		default:
			return "request-unanswered";
	}
}

export function explainConnection(target: ProbeTarget, connected: Connected): Explanation {
	const { conversation } = connected;
	switch (conversation.kind) {
		case "complete":
			return explainLarge(target, connected.large);
		case "ignored":
			return ignored(target, conversation.repeated);
		case "reset":
			return wasReset(target, conversation.from.text, sameAddress(conversation.from, target.real));
		default:
			return unanswered(target, connected);
	}
}

function ignored({ real }: ProbeTarget, repeated: number): Explanation {
	const again = repeated === 0 ? "" : `, and came again ${repeated === 1 ? "once" : `${repeated} times`}`;
	return {
		found: [`SYN+ACK came${again}: no packet after the SYN was acknowledged`],
		causes: [
			`connection tracking on ${real.text} sees one side only: requests to ${real.text}, answers from the VIP. A stateful firewall drops the packets after the SYN as invalid`,
			`a stateful firewall between this host and ${real.text} sees only requests, because the answers take another path`,
			`the rule on ${real.text} matches only the first packet (--syn, --tcp-flags, a length)`,
		],
		next: [
			`on ${real.text}: l3dsr check; move the rules to raw PREROUTING (table: raw), before connection tracking`,
		],
	};
}

function wasReset({ real }: ProbeTarget, from: string, byReal: boolean): Explanation {
	return {
		found: [`${from} reset the connection after the handshake`],
		causes: byReal
			? [
					`only the first packet is rewritten: the rule on ${real.text} has a condition that the packets after the SYN do not meet`,
				]
			: [
					"the service closes connections of this client at once: an access list, a limit, an unsupported protocol",
				],
		next: byReal
			? [`on ${real.text}: l3dsr show; l3dsr trace`]
			: [`on ${real.text}: look at the log of the service`],
	};
}

function unanswered({ real }: ProbeTarget, { conversation, small }: Connected): Explanation {
	const on = `on ${real.text}`;
	if (conversation.kind === "unanswered" && conversation.closed) {
		return {
			found: ["the service closed the connection without an answer"],
			causes: [`the service ${on} does not accept this request, or this client`],
			next: [`${on}: look at the log of the service`],
		};
	}
	const lost =
		conversation.kind === "gap"
			? `${conversation.bytes} bytes of the answer arrived, and then a segment after a gap`
			: "the request was acknowledged, and no answer came";
	if (small?.kind === "complete" && small.bytes > 0) {
		return {
			found: [lost, `with segments of ${SMALL_SEGMENT_BYTES[real.family]} bytes at most, the answer arrives`],
			causes: [
				"path MTU: large packets from the VIP are lost on their way back, and path MTU discovery fails: the ICMP error goes to the VIP, which is the director, or a firewall drops it",
			],
			next: [
				`let the director send ICMP errors for the VIP to the real servers, and firewalls let them through (${real.family === "ipv4" ? "ICMP type 3 code 4" : "ICMPv6 type 2"})`,
				`${on}, until then: sysctl -w net.ipv4.tcp_mtu_probing=1, or a smaller MTU of the route back (ip route … mtu lock N)`,
			],
		};
	}
	return {
		found: [lost, ...(small === undefined ? [] : ["nor with small segments"])],
		causes: [
			`the service ${on} does not answer this request: the request is incomplete, or the service hangs`,
		],
		next: [`${on}: look at the log of the service; ask it from the host itself`],
	};
}

/** Large requests from clients: the ICMP error quotes the real address, which the client does not know. */
function explainLarge({ real }: ProbeTarget, large: Answer | undefined): Explanation {
	if (large?.kind !== "icmp" || large.mtu === undefined) return NOTHING;
	return {
		found: [`${large.from.text} passes packets of at most ${large.mtu} bytes to ${real.text}`],
		causes: [
			`path MTU towards ${real.text}: the ICMP error about a large request quotes a packet to ${real.text}, which the client never sent, so the client continues to send large packets`,
		],
		next: [
			`use on the path from the director to ${real.text} the MTU of the others; or lower the segment size of the VIP's clients on the server: advmss on the route back`,
		],
	};
}

/** Whether an answer carries the VIP's own code. An echo reply always does (RFC 1812, 4.3.2.5). */
export function explainReflection({ protocol, dscp, real }: ProbeTarget, answer: Answer): Explanation {
	const reflected =
		answer.kind === "accepted" && protocol !== "icmp" && dscp !== 0 && answer.dscp === (dscp as number);
	if (!reflected) return NOTHING;
	return {
		found: [`the answer carries DSCP ${formatDscp(dscp)} too`],
		causes: [
			`${real.text} reflects the TOS byte${protocol === "tcp" ? " (net.ipv4.tcp_reflect_tos)" : ""}: its answers carry the code of the VIP, and other real servers on their path would rewrite them`,
		],
		next: [
			`on ${real.text}: clear-dscp: true for the service${protocol === "tcp" ? ", or sysctl -w net.ipv4.tcp_reflect_tos=0" : ""}`,
		],
	};
}
