/** The current state of a host: `l3dsr status --json` and `GET /v1/status`. */
import * as z from "zod/mini";
import { agent } from "./agent.ts";
import { director } from "./director.ts";
import { keeping } from "./keeping.ts";
import {
	address,
	counter,
	datapath,
	described,
	drift,
	dscp,
	hook,
	list,
	port,
	protocol,
	rate,
	record,
	schema,
	text,
	time,
	whole,
} from "./value.ts";
import { tcChecksum } from "./version-record.ts";

export const selection = record({
	dscp: z.optional(dscp()),
	mark: z.optional(record({ value: whole(), mask: whole() })),
	interfaces: z.optional(
		described(list(text()), "Names of interfaces; eth+ is every name that starts with eth."),
	),
	real: z.optional(described(text(), "The address or prefix that the director sends to.")),
	protocols: z.optional(list(protocol())),
	ports: z.optional(list(record({ first: port(), last: port() }))),
});

export const service = record({
	name: text(),
	type: described(z.enum(["l3dsr", "l2dsr"]), "l2dsr: the host only holds the VIP."),
	vip: address(),
	selects: described(text(), "The packets that the service selects, in words."),
	selection: described(
		list(selection),
		"The same as values: packets that meet every condition of one of these. Empty for l2dsr. More than one, or less than the words say, only for rules that are no longer configured.",
	),
	state: described(
		z.enum(["up", "partial", "down", "stopped", "not configured"]),
		"partial: the address without all rules, or rules without the address. stopped: not possible on this host. not configured: left over from an earlier configuration.",
	),
	reason: z.optional(described(text(), "Why it is stopped.")),
	loopback: described(
		z.nullable(text()),
		"Label of the VIP on lo; lo if it has none; null if the VIP is not there.",
	),
	rules: record({ present: whole(), wanted: whole() }),
	datapaths: list(datapath()),
	packets: described(
		z.nullable(counter()),
		"What its rules have matched; null for l2dsr, which has no rule.",
	),
	bytes: z.nullable(counter()),
	rate: z.optional(described(z.nullable(rate), "Per second; null if unknown. Only with status --watch.")),
});

export const status = record({
	schema: schema("status"),
	time: described(time(), "When the host was observed."),
	host: record({
		name: text(),
		l3dsr: described(text(), "Version of l3dsr."),
		kernel: text(),
		roles: described(
			list(z.enum(["real server", "director"])),
			"The roles that the configuration gives to the host. Empty without a configuration.",
		),
	}),
	configuration: described(z.nullable(text()), "Name of the file; null if there is none."),
	datapath: record({
		running: described(list(datapath()), "Where rules run now."),
		hooks: described(list(record({ hook: hook(), interface: text() })), "Where eBPF programs are attached."),
		why: described(text(), "Why the rules of services run there."),
		answers: z.optional(
			described(
				z.enum(["nft"]),
				"What translates the answers of programs that set a port. Only where one does.",
			),
		),
		tcChecksum: z.optional(tcChecksum),
	}),
	services: list(service),
	director: z.optional(described(director, "Only on a director.")),
	drift: described(
		list(drift),
		"Where the host differs from its configuration. object and problem together are a sentence.",
	),
	warnings: list(text()),
	refused: z.optional(described(text(), "Why up cannot apply the configuration.")),
	otherRules: described(whole(), "DADDR rules that do not belong to services: by hand, or by dsrctl."),
	keeping,
	agent: z.optional(described(agent, "Only from the agent.")),
});
