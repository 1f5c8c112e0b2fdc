/**
 * Constants of include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h and netfilter.h, with readable names.
 */
import { Layout } from "@l3dsr/linux";

/** struct nfgenmsg, the header of every netfilter message. `family` is an NFPROTO_*. */
export const NFGENMSG = new Layout({ family: "u8", version: "u8", resource: "be16" });

/** NFNL_SUBSYS_NFTABLES */
export const SUBSYSTEM = 10;
/** NFNLGRP_NFTABLES: members receive every change. */
export const MULTICAST_GROUP = 7;

const message = (number: number): number => (SUBSYSTEM << 8) | number;

export const NFT_MSG = {
	NEWTABLE: message(0),
	GETTABLE: message(1),
	DELTABLE: message(2),
	NEWCHAIN: message(3),
	GETCHAIN: message(4),
	DELCHAIN: message(5),
	NEWRULE: message(6),
	GETRULE: message(7),
	DELRULE: message(8),
	NEWSET: message(9),
	GETSET: message(10),
	DELSET: message(11),
	NEWSETELEM: message(12),
	GETSETELEM: message(13),
	DELSETELEM: message(14),
	NEWGEN: message(15),
	GETGEN: message(16),
	NEWOBJ: message(18),
	GETOBJ: message(19),
	DELOBJ: message(20),
	NEWFLOWTABLE: message(22),
	GETFLOWTABLE: message(23),
	DELFLOWTABLE: message(24),
} as const;

/** NFPROTO_* */
export const FAMILIES = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;
/** Family of a table, by nft(8)'s name. */
export type Family = keyof typeof FAMILIES;

/** Undefined for a number that is not an nf_tables family. */
export function familyOf(number: number): Family | undefined {
	return FAMILY_NAMES.get(number);
}

const FAMILY_NAMES: ReadonlyMap<number, Family> = new Map(
	(Object.keys(FAMILIES) as Family[]).map((name) => [FAMILIES[name], name]),
);

/** NF_INET_*, NF_BR_*, NF_ARP_*, NF_NETDEV_*: the hooks of each family. */
const IP_HOOKS = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
export const HOOKS = {
	ip: IP_HOOKS,
	ip6: IP_HOOKS,
	bridge: IP_HOOKS,
	inet: { ...IP_HOOKS, ingress: 5 },
	arp: { input: 0, output: 1, forward: 2 },
	netdev: { ingress: 0, egress: 1 },
} as const satisfies Record<Family, Readonly<Record<string, number>>>;
export type Hook = "prerouting" | "input" | "forward" | "output" | "postrouting" | "ingress" | "egress";

export const TABLE_FLAGS = { dormant: 1, owner: 2, persist: 4 } as const;
export type TableFlag = keyof typeof TABLE_FLAGS;

export const SET_FLAGS = {
	anonymous: 0x1,
	constant: 0x2,
	interval: 0x4,
	map: 0x8,
	timeout: 0x10,
	dynamic: 0x20,
	object: 0x40,
	concatenated: 0x80,
	expression: 0x100,
} as const;
export type SetFlag = keyof typeof SET_FLAGS;

export const PAYLOAD_BASES = { link: 0, network: 1, transport: 2, inner: 3, tunnel: 4 } as const;
export const META_KEYS = {
	length: 0,
	protocol: 1,
	priority: 2,
	mark: 3,
	iif: 4,
	oif: 5,
	iifname: 6,
	oifname: 7,
	iiftype: 8,
	oiftype: 9,
	skuid: 10,
	skgid: 11,
	nftrace: 12,
	rtclassid: 13,
	secmark: 14,
	nfproto: 15,
	l4proto: 16,
	ibrname: 17,
	obrname: 18,
	pkttype: 19,
	cpu: 20,
	iifgroup: 21,
	oifgroup: 22,
	cgroup: 23,
	random: 24,
	ipsec: 25,
	iifkind: 26,
	oifkind: 27,
	ibrpvid: 28,
	ibrvproto: 29,
	time: 30,
	day: 31,
	hour: 32,
	sdif: 33,
	sdifname: 34,
} as const;
export const COMPARISONS = { "==": 0, "!=": 1, "<": 2, "<=": 3, ">": 4, ">=": 5 } as const;
export type Comparison = keyof typeof COMPARISONS;
export const BITWISE_OPERATIONS = { mask: 0, "<<": 1, ">>": 2 } as const;
export const FIB_RESULTS = { oif: 1, oifname: 2, type: 3 } as const;
export const FIB_FLAGS = { saddr: 1, daddr: 2, mark: 4, iif: 8, oif: 16, present: 32 } as const;
export const EXTHDR_OPERATIONS = {
	ipv6: 0,
	"tcp option": 1,
	"ip option": 2,
	"sctp chunk": 3,
	"dccp option": 4,
};
export const CT_KEYS = {
	state: 0,
	direction: 1,
	status: 2,
	mark: 3,
	secmark: 4,
	expiration: 5,
	helper: 6,
	l3proto: 7,
	saddr: 8,
	daddr: 9,
	protocol: 10,
	"proto-src": 11,
	"proto-dst": 12,
	label: 13,
	packets: 14,
	bytes: 15,
	avgpkt: 16,
	zone: 17,
	event: 18,
	"ip saddr": 19,
	"ip daddr": 20,
	"ip6 saddr": 21,
	"ip6 daddr": 22,
	id: 23,
} as const;
export const LIMIT_TYPES = { packets: 0, bytes: 1 } as const;
export const HASH_TYPES = { jhash: 0, symhash: 1 } as const;
export const NUMGEN_TYPES = { inc: 0, random: 1 } as const;
export const REJECT_TYPES = { icmp: 0, "tcp reset": 1, icmpx: 2 } as const;
export const OBJECT_TYPES = {
	counter: 1,
	quota: 2,
	"ct helper": 3,
	limit: 4,
	connlimit: 5,
	tunnel: 6,
	"ct timeout": 7,
	secmark: 8,
	"ct expectation": 9,
	synproxy: 10,
} as const;
export const OBJECT_NAMES: ReadonlyMap<number, keyof typeof OBJECT_TYPES> = new Map(
	(Object.keys(OBJECT_TYPES) as (keyof typeof OBJECT_TYPES)[]).map((name) => [OBJECT_TYPES[name], name]),
);
/** NF_DROP and the like, and NFT_* of enum nft_verdicts. */
export const VERDICTS = {
	drop: 0,
	accept: 1,
	queue: 3,
	continue: -1,
	break: -2,
	jump: -3,
	goto: -4,
	return: -5,
} as const;
