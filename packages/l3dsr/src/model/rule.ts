/**
 * A rule: matches and the DADDR target, in a table and chain, as in iptables.
 *
 * The shape follows ip_tables: one header (at most one of each), then module matches in the order in which they were
 * written. All values are plain, immutable data; `sameRule` decides whether two rules are equal.
 */
import type { Address, Dscp, Family, Port, Prefix } from "@l3dsr/packet";

/** The chains of each table, in the order in which iptables prints them. */
export const CHAINS = {
	raw: ["PREROUTING", "OUTPUT"],
	mangle: ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
} as const;

export type Table = keyof typeof CHAINS;
export type Chain = (typeof CHAINS)[Table][number];

/** The tables' priorities at netfilter's hooks (linux/netfilter_ipv4.h, enum nf_ip_hook_priorities). */
export const TABLE_PRIORITY: Readonly<Record<Table, number>> = { raw: -300, mangle: -150 };

/** A value that a preceding `!` negates. */
export interface Negatable {
	readonly negated: boolean;
}

/** `eth0`, or with `wildcard` every name that begins with it (`eth+`; a lone `+` is every interface). */
export interface InterfaceMatch extends Negatable {
	readonly name: string;
	readonly wildcard: boolean;
}

/** The part of a rule that ip_tables keeps in `struct ipt_ip`. */
export interface RuleHeader {
	readonly source?: Negatable & { readonly prefix: Prefix };
	readonly destination?: Negatable & { readonly prefix: Prefix };
	readonly inInterface?: InterfaceMatch;
	readonly outInterface?: InterfaceMatch;
	/** IP protocol number, 1–255 (0, "all", is not a match). For IPv6, the last header of the chain. */
	readonly protocol?: Negatable & { readonly number: number };
	/** `-f`, IPv4 only: second and further fragments. */
	readonly fragment?: Negatable;
}

/** Inclusive, `first` <= `last`. */
export interface NumberRange {
	readonly first: number;
	readonly last: number;
}

export const PORT_MODULES = ["tcp", "udp", "sctp", "dccp", "udplite"] as const;
export type PortModule = (typeof PORT_MODULES)[number];

export type Match =
	| (Negatable & { readonly kind: "dscp"; readonly dscp: Dscp })
	| (Negatable & { readonly kind: "tos"; readonly value: number; readonly mask: number })
	/** `--ecn-ip-ect`, 0–3: the two low bits of the TOS byte. */
	| (Negatable & { readonly kind: "ecn"; readonly ect: number })
	/** Unsigned 32 bit each. */
	| (Negatable & { readonly kind: "mark"; readonly value: number; readonly mask: number })
	/** Source address of the Ethernet header, six bytes. */
	| (Negatable & { readonly kind: "mac"; readonly source: readonly number[] })
	/** `-m tcp` and the like; without ports it only matches unfragmented packets and first fragments of the protocol. */
	| {
			readonly kind: "ports";
			readonly module: PortModule;
			readonly source?: Negatable & NumberRange;
			readonly destination?: Negatable & NumberRange;
	  }
	| (Negatable & {
			readonly kind: "multiport";
			readonly direction: "source" | "destination" | "either";
			readonly ports: readonly NumberRange[];
	  })
	/** `--dst-type LOCAL`: the destination is an address of this host (in its network namespace). */
	| (Negatable & { readonly kind: "addrtype"; readonly destinationType: "LOCAL" })
	/** Length of the IP packet: IPv4 total length; IPv6 payload length + 40. */
	| (Negatable & NumberRange & { readonly kind: "length" })
	/** IPv4 TTL (`-m ttl`) or IPv6 hop limit (`-m hl`); only "eq" can be negated. */
	| (Negatable & { readonly kind: "ttl"; readonly comparison: "eq" | "lt" | "gt"; readonly value: number })
	/** Matches everything; at most 255 bytes of text. */
	| { readonly kind: "comment"; readonly text: string };

/** The rewrite. `daddr` has the rule's family. */
export interface DaddrTarget {
	readonly daddr: Address;
	/** New transport destination port, 1–65535, in packets with ports. */
	readonly dport?: Port;
	/** DSCP := 0 after the rewrite, ECN bits kept. */
	readonly clearDscp: boolean;
	/**
	 * Also take ICMP errors that quote an answer of one of the rule's flows. Needs `-p` with a protocol that has ports.
	 */
	readonly icmpErrors?: boolean;
	/** Also take later fragments, which have no ports: those of the rule's protocol that meet its other conditions. */
	readonly laterFragments?: boolean;
}

export interface Rule {
	readonly family: Family;
	readonly table: Table;
	readonly chain: Chain;
	readonly header: RuleHeader;
	readonly matches: readonly Match[];
	readonly target: DaddrTarget;
}

/** The packets and bytes (of IP packets) that a rule has matched. u64 in the kernel. */
export interface Counters {
	readonly packets: bigint;
	readonly bytes: bigint;
}

export function isOfPorts(one: Match): one is Extract<Match, { kind: "ports" | "multiport" }> {
	return one.kind === "ports" || one.kind === "multiport";
}

/** True if any match of the rule looks at transport ports. */
export function asksForPorts(rule: Rule): boolean {
	return rule.matches.some(isOfPorts);
}

export const ZERO_COUNTERS: Counters = Object.freeze({ packets: 0n, bytes: 0n });

/** Any object, as plain data. */
type Fields = Readonly<Record<string, unknown>>;

/** Structural equality of plain data. Ignores the order of keys, and keys that are undefined. */
export function sameValue(a: unknown, b: unknown): boolean {
	if (a === b) return true;
	if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
	if (Array.isArray(a)) {
		if (!Array.isArray(b) || a.length !== b.length) return false;
		for (let at = 0; at < a.length; at++) if (!sameValue(a[at], b[at])) return false;
		return true;
	}
	if (Array.isArray(b)) return false;
	// One command may compare a thousand rules with a thousand others several times, so make no copies.
	const [left, right] = [a as Fields, b as Fields];
	let defined = 0;
	for (const key in left) {
		if (left[key] === undefined) continue;
		if (!sameValue(left[key], right[key])) return false;
		defined++;
	}
	for (const key in right) if (right[key] !== undefined) defined--;
	return defined === 0;
}

/** The same matches and target in the same chain: what `-D SPEC` and `-C` look for. */
export function sameRule(a: Rule, b: Rule): boolean {
	return sameValue(a, b);
}

/** The rule without its comments, which change nothing for a packet. */
export function withoutComments(rule: Rule): Rule {
	return { ...rule, matches: rule.matches.filter(({ kind }) => kind !== "comment") };
}

export function isChainOf(table: Table, chain: string): chain is Chain {
	return (CHAINS[table] as readonly string[]).includes(chain);
}
