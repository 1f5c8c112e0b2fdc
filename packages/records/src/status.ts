/** What a host does at present: `l3dsr status --json` and `GET /v1/status`. */
import * as z from "zod/mini";
import { agent } from "./agent.ts";
import { director } from "./director.ts";
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
	selects: described(text(), "What the service takes, in words."),
	selection: described(
		list(selection),
		"The same as values: a packet that meets every condition of one of these. Empty for l2dsr. More than one, or less than the words say, only where rules are not configured any more.",
	),
	state: described(
		z.enum(["up", "partial", "down", "stopped", "not configured"]),
		"partial: the address without all rules, or the other way round. stopped: this host cannot have it. not configured: left of an earlier configuration.",
	),
	reason: z.optional(described(text(), "Why it is stopped.")),
	loopback: described(
		z.nullable(text()),
		"Label of the VIP on lo; lo where it has none; null where it is not there.",
	),
	rules: record({ present: whole(), wanted: whole() }),
	datapaths: list(datapath()),
	packets: described(
		z.nullable(counter()),
		"What its rules have matched; null for l2dsr, which no rule counts.",
	),
	bytes: z.nullable(counter()),
	rate: z.optional(
		described(z.nullable(rate), "Per second; null where it cannot be told. Only with status --watch."),
	),
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
			"What the configuration makes of the host. Empty without a configuration.",
		),
	}),
	configuration: described(z.nullable(text()), "Name of the file; null where there is none."),
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
		"Where the host is not what its configuration says. object and problem are a sentence.",
	),
	warnings: list(text()),
	refused: z.optional(described(text(), "Why up cannot make the host what its configuration says.")),
	otherRules: described(whole(), "DADDR rules that are not of services: by hand, or by dsrctl."),
	agent: z.optional(described(agent, "Only from the agent.")),
});
