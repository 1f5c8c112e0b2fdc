/** Translates answers of services with `set-port` on their way out: restores their source port. */
import { assign, type Expression, field, match, meta, rawField, verdict } from "@l3dsr/nftables";
import type { Family } from "@l3dsr/packet";
import { TRANSLATED_BACK, type WayBack } from "../../../model/way-back.ts";
import { laterFragment } from "./guard.ts";
import { NEVER, prefix } from "./match.ts";
import { PORTS_PRESENT } from "./port-match.ts";
import { quotedPort, quotesOf } from "./quote.ts";
import { type ChainSpec, nftFamily, type RuleSpec } from "./table.ts";

export const WAY_BACK_CHAIN = "way_back";

/** After connection tracking (-200) and NAT (-100), which know the flow by the server's port. */
const PRIORITY = 250;

const ACCEPT = verdict("accept");

/**
 * In the output hook: forwarded packets do not pass it, and what the host sends is not fragmented yet, unless a
 * program makes fragments itself (raw sockets).
 */
export function wayBackChains(family: Family, ways: readonly WayBack[]): ChainSpec[] {
	const translations = ways.flatMap((way) => [...answerRules(family, way), ...errorRules(family, way)]);
	if (translations.length === 0) return [];
	const rules = [{ conditions: laterFragment(family), actions: [ACCEPT], ordinals: [] }, ...translations];
	return [{ name: WAY_BACK_CHAIN, base: { type: "filter", hook: "output", priority: PRIORITY }, rules }];
}

function answerRules(family: Family, way: WayBack): RuleSpec[] {
	const name = TRANSLATED_BACK.get(way.protocol);
	if (name === undefined) return [];
	const ip = nftFamily(family);
	const client = clientCondition(way, field(`${ip} daddr`));
	if (client === NEVER) return [];
	const conditions = [
		...match(field(`${ip} saddr`), "==", Uint8Array.from(way.vip.bytes)),
		...client,
		...match(meta("l4proto"), "==", way.protocol),
		...match(field("th sport"), "==", way.from),
		...PORTS_PRESENT,
	];
	const translate = (more: readonly Expression[], write: readonly Expression[]): RuleSpec => ({
		conditions: [...conditions, ...more],
		actions: [...write, ACCEPT],
		ordinals: [],
	});
	const usual = translate([], assign(field(`${name} sport`), way.to));
	if (name === "tcp") return [usual];
	const none = match(rawField("transport", 48, 16), "==", 0);
	return [translate(none, assign(rawField("transport", 0, 16), way.to)), usual];
}

/** This host's ICMP errors quote the packet for the VIP as the rules have changed it. */
function errorRules(family: Family, way: WayBack): RuleSpec[] {
	return quotesOf(family, way.protocol).flatMap((quote): RuleSpec[] => {
		const client = clientCondition(way, quote.source);
		if (client === NEVER) return [];
		return [
			{
				conditions: [
					...quote.conditions,
					...match(quote.destination, "==", Uint8Array.from(way.vip.bytes)),
					...client,
					...match(quote.destinationPort, "==", way.from),
				],
				actions: [...assign(quotedPort(quote.portsOffset + 2), way.to), ACCEPT],
				ordinals: [],
			},
		];
	});
}

function clientCondition(
	{ client }: WayBack,
	address: Parameters<typeof prefix>[0],
): ReturnType<typeof prefix> {
	return client === undefined ? [] : prefix(address, client, false);
}
