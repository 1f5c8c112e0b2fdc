/** The answers of rules that set a port: what to translate back on its way out. */
import { type Address, CHECKSUM_OFFSET, PROTOCOL_NUMBER, type Prefix } from "@l3dsr/packet";
import { type Rule, sameValue } from "./rule.ts";

/**
 * An answer of this protocol from `vip` and port `from` to a client in `client` leaves from port `to`, which the
 * client sent to. Stateless: the rule's matches contain everything needed.
 */
export interface WayBack {
	readonly vip: Address;
	/** IP protocol number. */
	readonly protocol: number;
	readonly from: number;
	readonly to: number;
	/** Absent: any client. */
	readonly client?: Prefix;
}

/** Protocols whose answers are translated, by number: nf_tables updates only their checksums. */
export const TRANSLATED_BACK: ReadonlyMap<number, "tcp" | "udp"> = new Map([
	[PROTOCOL_NUMBER.tcp, "tcp"],
	[PROTOCOL_NUMBER.udp, "udp"],
]);

/**
 * The way back of a rule. Undefined if it sets no port, or if the port that clients send to does not follow from an
 * answer: the rule takes more than one port or protocol, or packets that are not for this host.
 */
export function wayBackOf({ chain, header, matches, target }: Rule): WayBack | undefined {
	if (chain !== "PREROUTING" && chain !== "INPUT") return undefined;
	const { protocol, source } = header;
	const { daddr: vip, dport: from } = target;
	if (from === undefined || protocol === undefined || protocol.negated || source?.negated === true)
		return undefined;
	// The rewrite does not set ports of other protocols.
	if (!(protocol.number in CHECKSUM_OFFSET.ipv4)) return undefined;
	const asked = matches.filter(({ kind }) => kind === "ports" || kind === "multiport");
	const [only] = asked;
	if (only === undefined || asked.length > 1) return undefined;
	let range: { readonly first: number; readonly last: number } | undefined;
	if (only.kind === "ports" && PROTOCOL_NUMBER[only.module] === protocol.number && only.source === undefined)
		range = only.destination?.negated === false ? only.destination : undefined;
	if (
		only.kind === "multiport" &&
		only.direction === "destination" &&
		!only.negated &&
		only.ports.length === 1
	)
		range = only.ports[0];
	if (range === undefined || range.first !== range.last) return undefined;
	return {
		vip,
		protocol: protocol.number,
		from,
		to: range.first,
		...(source === undefined ? {} : { client: source.prefix }),
	};
}

/**
 * The ways back of rules, each once, in the order of the rules. If two match the same answer, the first one is used.
 */
export function waysBack(rules: readonly Rule[]): WayBack[] {
	const ways: WayBack[] = [];
	for (const rule of rules) {
		const way = wayBackOf(rule);
		if (way !== undefined && !ways.some((known) => sameValue(known, way))) ways.push(way);
	}
	return ways;
}
