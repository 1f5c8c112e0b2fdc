/**
 * The rewrite on plain bytes: what a chain of DADDR rules does to a packet. Both datapaths are tested against it, and
 * `trace` explains with it.
 *
 * Where the xt_* modules drop a malformed packet ("hotdrop": a truncated transport header, a TCP fragment at offset
 * 8), the rule here just does not match, or matches by its ports if they are there: judging packets is the job of the
 * stack.
 *
 * An SCTP packet keeps its port with `--set-dport`: its CRC covers the whole packet, so no hook can update it
 * cheaply, and a wrong CRC would lose the packet.
 */

import {
	EXTENSION_LIMIT,
	type Malformed,
	type ParsedPacket,
	parsePacket,
	type Unreadable,
} from "@l3dsr/packet";
import type { Rule } from "../../model/rule.ts";
import { type FailedMatch, firstFailedMatch, type PacketContext } from "./match.ts";
import { rewritePacket } from "./rewrite.ts";

export type { FailedMatch, PacketContext } from "./match.ts";
/** The result of one rule: it matched, or `failed` is the first of its conditions that the packet does not meet. */
export type RuleOutcome =
	| { readonly matched: true }
	| { readonly matched: false; readonly failed: FailedMatch };

export type RewriteResult =
	| {
			readonly evaluated: true;
			/** A new array, as long as the input. */
			readonly bytes: Uint8Array;
			/** One for each rule, in order. */
			readonly outcomes: readonly RuleOutcome[];
			/** What each matching rule adds to its byte counter: the length of the IP packet. */
			readonly length: number;
			/** The packet as received. */
			readonly packet: ParsedPacket;
			/** Counted once for a rewritten packet whose transport header cannot be reached. */
			readonly malformed?: Malformed;
	  }
	/** Not an IP packet that the stack accepts: no rule is evaluated, no counter changes. */
	| { readonly evaluated: false; readonly bytes: Uint8Array; readonly unreadable: Unreadable };

/**
 * Sends a packet (`input`, from its network header) through the rules of one chain in order. DADDR is not terminal,
 * so each rule sees the changes of the earlier ones. Never throws, never drops, never changes `input`.
 */
export function rewriteByRules(
	input: Uint8Array,
	rules: readonly Rule[],
	context: PacketContext,
	options: { readonly extensionLimit?: number } = {},
): RewriteResult {
	const { extensionLimit = EXTENSION_LIMIT } = options;
	const bytes = Uint8Array.from(input);
	const arrived = parsePacket(bytes, extensionLimit);
	if (typeof arrived === "string") return { evaluated: false, bytes, unreadable: arrived };
	let packet = arrived;
	const outcomes: RuleOutcome[] = [];
	for (const rule of rules) {
		const failed = firstFailedMatch(rule, packet, bytes, context);
		if (failed !== undefined) {
			outcomes.push({ matched: false, failed });
			continue;
		}
		outcomes.push({ matched: true });
		rewritePacket(bytes, packet, rule.target);
		const rewritten = parsePacket(bytes, extensionLimit);
		if (typeof rewritten === "string") throw new Error(`a rewrite made the packet unreadable: ${rewritten}`);
		packet = rewritten;
	}
	const { malformed } = arrived;
	const rewritten = outcomes.some((outcome) => outcome.matched);
	return {
		evaluated: true,
		bytes,
		outcomes,
		length: arrived.length,
		packet: arrived,
		...(rewritten && malformed !== undefined ? { malformed } : {}),
	};
}
