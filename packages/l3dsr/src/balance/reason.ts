/** The reasons for not forwarding a packet, each with its own counter; the numbers are indexes into the counters. */

/** What happens to such a packet: it goes to the kernel, is dropped or is answered. */
export type Outcome = "pass" | "drop" | "answer";

/** reason → its counter, and its meaning as shown to people. */
export const REASONS = {
	"not-ip": { slot: 0, outcome: "pass", meaning: "neither IPv4 nor IPv6, or a truncated header" },
	"other-host": { slot: 1, outcome: "pass", meaning: "the frame is for another MAC address, or a broadcast" },
	vlan: { slot: 2, outcome: "pass", meaning: "not in the configured VLAN, or at tc in any VLAN" },
	"not-vip": { slot: 3, outcome: "pass", meaning: "the destination is not a VIP" },
	"no-service": { slot: 4, outcome: "pass", meaning: "a VIP, but no service has this protocol and port" },
	"no-real": { slot: 5, outcome: "pass", meaning: "no real server of the service takes new flows" },
	hops: { slot: 6, outcome: "pass", meaning: "the TTL or hop limit is 0 or 1" },
	source: {
		slot: 7,
		outcome: "pass",
		meaning: "the source address cannot be a client's: the VIP itself, loopback, multicast, broadcast",
	},
	options: { slot: 8, outcome: "pass", meaning: "IPv4 options with a source route, or invalid options" },
	length: { slot: 9, outcome: "pass", meaning: "the length in a header differs from that of the packet" },
	extensions: {
		slot: 10,
		outcome: "pass",
		meaning: "IPv6 extension headers that are truncated, more than eight, or have segments left",
	},
	"transport-cut": { slot: 11, outcome: "pass", meaning: "the packet ends within its transport header" },
	"syn-ack": { slot: 12, outcome: "pass", meaning: "a SYN+ACK, which a client never sends" },
	icmp: { slot: 13, outcome: "pass", meaning: "an ICMP message that is not about a flow of the VIP" },
	echo: { slot: 14, outcome: "pass", meaning: "an echo request that the kernel answers" },
	"too-big": { slot: 15, outcome: "pass", meaning: "larger than the MTU of the path to the real server" },
	"fragment-unknown": {
		slot: 16,
		outcome: "drop",
		meaning: "a later fragment of a datagram whose first fragment was not seen",
	},
	"fragment-tcp": { slot: 17, outcome: "drop", meaning: "a TCP fragment at offset 1, within its header" },
	"echo-reply": { slot: 18, outcome: "answer", meaning: "an echo request that the director answered" },
	bleached: {
		slot: 19,
		outcome: "pass",
		meaning: "straight to a real server with a code of ours, which was cleared",
	},
	/** Counted in addition to the real's own counter. */
	"by-kernel": {
		slot: 20,
		outcome: "pass",
		meaning: "forwarded, by the kernel's routing because no next hop was known",
	},
} as const satisfies Record<string, { slot: number; outcome: Outcome; meaning: string }>;

export type Reason = keyof typeof REASONS;
