/** What happens to one packet: `l3dsr trace --json` and `GET /v1/trace`. */
import * as z from "zod/mini";
import {
	address,
	datapath,
	described,
	dscp,
	flag,
	list,
	number,
	protocol,
	record,
	schema,
	text,
	whole,
} from "./value.ts";

const failedCondition = record({
	condition: described(text(), "As in the rule: -m dscp --dscp 0x07."),
	packet: described(text(), "What the packet has instead."),
	dscpOnly: flag(),
	hint: z.optional(text()),
});

const verdict = record({
	verdict: z.enum(["good", "bad", "none", "unknown"]),
	why: z.optional(text()),
});

const packet = {
	number: described(whole(), "Number in a capture, from 1."),
	interface: text(),
	mark: whole(),
	vlans: list(whole()),
	unreadable: z.optional(described(text(), "Why no rule sees it.")),
	capturedBytes: z.optional(whole()),
	checksumCompleted: described(flag(), "The sender had left the transport checksum to the interface."),
	packet: z.optional(
		described(
			record({
				family: z.enum(["ipv4", "ipv6"]),
				source: address(),
				destination: address(),
				protocol: z.optional(protocol()),
				sourcePort: z.optional(whole()),
				destinationPort: z.optional(whole()),
				dscp: dscp(),
				ecn: whole(),
				ttl: whole(),
				bytes: whole(),
			}),
			"As it arrives; absent if it cannot be read.",
		),
	),
	director: z.optional(
		described(
			record({
				place: described(text(), "xdp of eth0."),
				outcome: z.enum(["forward", "pass", "drop", "answer"]),
				reason: z.optional(described(text(), "The counter that counts it.")),
				meaning: z.optional(text()),
				choice: z.optional(
					record({
						vip: address(),
						protocol: protocol(),
						port: z.union([whole(), z.literal("any")]),
						slot: whole(),
						slots: whole(),
						by: described(
							z.enum(["ring", "before", "entry"]),
							"ring: who has the slot. before: who had it before its transition. entry: as the flow is remembered.",
						),
					}),
				),
				real: z.optional(described(address(), "The real server.")),
				way: z.optional(z.enum(["interface", "kernel"])),
				interface: z.optional(described(text(), "How a forwarded packet leaves.")),
			}),
			"What the director on that interface does with it, before any rule sees it.",
		),
	),
	stops: described(
		list(
			record({
				datapath: text(),
				place: text(),
				rules: list(record({ rule: text(), matched: flag(), failed: list(failedCondition) })),
			}),
		),
		"Where the packet meets rules, in order.",
	),
	header: list(record({ header: text(), name: text(), before: text(), after: text(), changed: flag() })),
	checksums: list(record({ header: text(), before: verdict, after: verdict })),
	counters: list(record({ datapath: text(), rule: text(), bytes: number() })),
	malformed: z.optional(text()),
	rewritten: flag(),
	destination: z.optional(address()),
	local: described(flag(), "The destination, after the rules, is an address of this host."),
	kernel: described(
		list(
			record({
				datapath: datapath(),
				place: text(),
				programId: z.optional(whole()),
				exact: flag(),
				answer: z.enum(["same", "different", "not asked"]),
				why: z.optional(text()),
				bytes: z.optional(text()),
			}),
		),
		"What copies of the running datapaths do with the packet. Over HTTP, the kernel is not asked.",
	),
	before: described(text(), "The packet in hex."),
	after: text(),
};

const unread = record({
	schema: schema("trace"),
	number: whole(),
	notIp: described(text(), "Why the frame of a capture holds no IP packet."),
});

export const trace = record({
	schema: schema("trace"),
	source: z.optional(
		described(text(), "this host, or the name of a configuration. Absent for packets of a capture."),
	),
	notes: z.optional(list(text())),
	...packet,
});

/** One line of `l3dsr trace --json CAPTURE`. */
export const tracedFrame = z.union([trace, unread]);

export const traceSummary = record({
	schema: schema("trace-summary"),
	summary: record({
		packets: whole(),
		rewritten: whole(),
		unchanged: whole(),
		notIp: whole(),
		unreadable: whole(),
		malformed: whole(),
		checksumsCompleted: whole(),
		badChecksums: record({ before: whole(), after: whole(), new: whole() }),
		rules: list(record({ datapath: text(), rule: text(), packets: whole(), bytes: whole() })),
		kernel: list(
			record({
				datapath: datapath(),
				same: whole(),
				different: whole(),
				notAsked: whole(),
				reasons: list(record({ why: text(), packets: whole() })),
				exact: flag(),
				countersDiffer: flag(),
			}),
		),
		notes: list(text()),
	}),
});
