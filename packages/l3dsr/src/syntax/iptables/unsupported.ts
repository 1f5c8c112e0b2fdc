/** What iptables 1.8.9 has and these commands do not: refused by name, with an alternative. */

/** `-m NAME`. */
export const OTHER_MATCHES: readonly string[] = [
	"ah",
	"bpf",
	"cgroup",
	"cluster",
	"connbytes",
	"connlabel",
	"connlimit",
	"connmark",
	"conntrack",
	"cpu",
	"devgroup",
	"dst",
	"esp",
	"eui64",
	"frag",
	"hashlimit",
	"hbh",
	"helper",
	"icmp",
	"icmp6",
	"icmpv6",
	"ipcomp",
	"iprange",
	"ipv6header",
	"ipvs",
	"limit",
	"mh",
	"nfacct",
	"osf",
	"owner",
	"physdev",
	"pkttype",
	"policy",
	"quota",
	"rateest",
	"realm",
	"recent",
	"rpfilter",
	"rt",
	"set",
	"socket",
	"srh",
	"state",
	"statistic",
	"string",
	"tcpmss",
	"time",
	"u32",
];

/** `-j NAME`. */
export const OTHER_TARGETS: readonly string[] = [
	"ACCEPT",
	"AUDIT",
	"CHECKSUM",
	"CLASSIFY",
	"CLUSTERIP",
	"CONNMARK",
	"CONNSECMARK",
	"CT",
	"DNAT",
	"DNPT",
	"DROP",
	"DSCP",
	"ECN",
	"HL",
	"HMARK",
	"IDLETIMER",
	"LED",
	"LOG",
	"MARK",
	"MASQUERADE",
	"NETMAP",
	"NFLOG",
	"NFQUEUE",
	"NOTRACK",
	"QUEUE",
	"RATEEST",
	"REDIRECT",
	"REJECT",
	"RETURN",
	"SECMARK",
	"SET",
	"SNAT",
	"SNPT",
	"SYNPROXY",
	"TCPMSS",
	"TCPOPTSTRIP",
	"TEE",
	"TOS",
	"TPROXY",
	"TRACE",
	"TTL",
	"ULOG",
];

/** Unsupported options of supported matches: option → what to do instead. */
export const OTHER_OPTIONS: Readonly<Record<string, string>> = {
	"--tcp-flags": "match the port only",
	"--syn": "match the port only",
	"--tcp-option": "match the port only",
	"--chunk-types": "match the port only",
	"--dccp-types": "match the port only",
	"--dccp-option": "match the port only",
	"--icmp-type": "-p icmp matches every type",
	"--icmpv6-type": "-p icmpv6 matches every type",
	"--ecn-tcp-cwr": "--ecn-ip-ect is supported",
	"--ecn-tcp-ece": "--ecn-ip-ect is supported",
	"--src-type": "--dst-type LOCAL is supported",
	"--limit-iface-in": "--dst-type LOCAL is supported",
	"--limit-iface-out": "--dst-type LOCAL is supported",
	"--goto": "rules cannot branch here: write the matches in the rule itself",
	"-g": "rules cannot branch here: write the matches in the rule itself",
};

/** What to do about an unsupported match. */
export function matchHint(name: string): string {
	switch (name) {
		case "iprange":
			return "write the range as prefixes with -s or -d";
		case "connmark":
			return "-m mark matches the packet's own mark";
		case "icmp":
			return "-p icmp matches every type";
		case "icmp6":
		case "icmpv6":
			return "-p icmpv6 matches every type";
		case "frag":
			return "a later fragment has no ports: a rule that matches ports never sees it";
		default:
			return "a rule without it would match more than you asked for; mark the packets with iptables and use -m mark";
	}
}
