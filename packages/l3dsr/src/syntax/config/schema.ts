/**
 * The shape of l3dsr.yaml: one zod schema checks the file and generates the JSON Schema for editors
 * (docs/reference/l3dsr.schema.json). read-value.ts reads the values; the patterns here describe them to editors.
 * Loaded only if a file is read. The schemas of a director and of the agent are made when a file has one: most files have
 * neither. `zod/mini` is a quarter of zod's size, and unused parts stay out of the bundle.
 */
import { DSCP_CLASSES, MAX_PORT, PROTOCOL_NUMBER } from "@l3dsr/packet";
import * as z from "zod/mini";
import { DATAPATH_CHOICES, HOOKS } from "../../model/configuration.ts";
import { DIRECTOR_HOOKS, FLOW_MODES, FORWARD_MODES } from "../../model/director.ts";
import { OPEN_CHECKSUM_CHOICES } from "../../model/open-checksums.ts";
import { CHAINS, type Table } from "../../model/rule.ts";
import { once } from "../../once.ts";
import { MAX_VLAN, NAME_PATTERN } from "./read-value.ts";

function described<T extends z.ZodMiniType>(schema: T, description: string, standard?: unknown): T {
	z.globalRegistry.add(schema, { description, ...(standard === undefined ? {} : { default: standard }) });
	return schema;
}

const matching = (pattern: RegExp) => z.string().check(z.regex(pattern));
const between = (least: number, most: number) => z.int().check(z.minimum(least), z.maximum(most));
const some = <T extends z.ZodMiniType>(item: T) => z.array(item).check(z.minLength(1));

const interfaceName = matching(/^[^\s/:]{1,127}$/);
const interfaces = z.union([interfaceName, some(interfaceName)]);
const wholeName = () => matching(/^[^\s/:+]{1,127}$/);
const port = between(1, MAX_PORT);
const portOrRange = z.union([port, matching(/^[0-9]{1,5}(-[0-9]{1,5})?$/)]);
const protocolNames = Object.keys(PROTOCOL_NUMBER) as [keyof typeof PROTOCOL_NUMBER];
const protocol = z.union([z.enum(protocolNames), between(1, 255)]);

export const serviceSchema = z.strictObject({
	vip: described(
		z.union([z.string(), z.array(z.string()).check(z.minLength(1), z.maxLength(2))]),
		"The virtual IP, IPv4 or IPv6, without a prefix length; or a list of one of each, for a service that has both.",
	),
	name: described(z.optional(matching(NAME_PATTERN)), "What to call the service; its VIP where absent."),
	dscp: described(
		z.optional(
			z.union([
				between(0, 63),
				matching(new RegExp(`^(${Object.keys(DSCP_CLASSES).join("|")})$`)),
				matching(/^(0x[0-9a-fA-F]{1,2}|0|[1-9][0-9]?)$/),
			]),
		),
		"The code that the director marks packets for this VIP with, 0-63 (not the TOS byte, which is four times that), or a class such as AF41. Without dscp, mark, interface and real the service is L2DSR.",
	),
	mark: described(
		z.optional(
			z.union([between(0, 0xffffffff), matching(/^(0x[0-9a-fA-F]+|[0-9]+)(\/(0x[0-9a-fA-F]+|[0-9]+))?$/)]),
		),
		"Packet mark, VALUE or VALUE/MASK.",
	),
	interface: described(
		z.optional(interfaces),
		"Only packets that arrive on this interface, or one of these; eth+ is every name that begins with eth.",
	),
	real: described(
		z.optional(z.string()),
		"Only packets that the director sent to this address (or prefix) of the host.",
	),
	protocol: described(
		z.optional(z.union([protocol, some(protocol)])),
		"Only this IP protocol, or one of these. With ports and no protocol: tcp and udp.",
	),
	ports: described(
		z.optional(z.union([portOrRange, some(portOrRange)])),
		"Only these destination ports: 80, 8000-8099, or a list.",
	),
	"set-port": described(
		z.optional(port),
		"Rewrite the destination port to this one as well, and translate the answers back. Needs ports with one port.",
	),
	"clear-dscp": described(
		z.optional(z.boolean()),
		"Set DSCP to 0 after the rewrite, so that answers do not carry the code.",
	),
});

export const directorSchema = once(() =>
	z.strictObject({
		interfaces: described(
			z.union([wholeName(), some(wholeName())]),
			"Where packets for the VIPs arrive. The program is attached to these interfaces.",
		),
		hook: described(
			z.optional(z.enum(DIRECTOR_HOOKS)),
			"Where the program sees packets. tc: for interfaces that cannot send at XDP, always with forward: kernel.",
			"xdp",
		),
		forward: described(
			z.optional(z.enum(FORWARD_MODES)),
			"resolved: the program sends frames to the next hop. kernel: the kernel routes them (IP forwarding must be on).",
			"resolved",
		),
		flows: described(
			z.optional(z.enum(FLOW_MODES)),
			"When flows are remembered: in slots that change, everywhere, or nowhere.",
			"transition",
		),
		vlan: described(
			z.optional(between(1, MAX_VLAN)),
			"Packets for the VIPs carry this VLAN tag. Only with hook: xdp or xdp-generic.",
		),
		bleach: described(
			z.optional(z.boolean()),
			"Clear the DSCP of packets that come straight to a real server with a code of the fleet.",
			false,
		),
		"open-checksums": described(
			z.optional(z.enum(OPEN_CHECKSUM_CHOICES)),
			"XDP on devices whose packets may come without their checksum (veth, virtio): refused, or accepted.",
			"refuse",
		),
		state: described(
			z.optional(z.string().check(z.minLength(1))),
			"The file in which l3dsr drain and l3dsr disable keep what they set. Default: /var/lib/l3dsr/NAME.state.json, NAME that of the configuration without its ending.",
		),
	}),
);

const filePath = matching(/^\//);

export const tlsSchema = once(() =>
	z.strictObject({
		certificate: described(
			filePath,
			"A file of PEM: the certificate, and behind it those that lead to the root.",
		),
		key: described(filePath, "A file of PEM: the key of the certificate."),
	}),
);

export const agentSchema = once(() =>
	z.strictObject({
		listen: described(
			z.optional(z.union([z.string(), z.array(z.string())])),
			"Where the agent serves HTTP: ADDRESS:PORT, [IPV6-ADDRESS]:PORT, or the path of a Unix socket; [] for none. Default: /run/l3dsr/agent.sock and 127.0.0.1:9470.",
		),
		hosts: described(
			z.optional(z.union([z.string(), z.array(z.string())])),
			"Names by which clients call this host, beside its own host name, localhost and addresses.",
		),
		tls: described(z.optional(tlsSchema()), "HTTPS instead of HTTP, on TCP."),
		"token-file": described(
			z.optional(filePath),
			"A file whose first line is the token that clients of TCP must send (Authorization: Bearer TOKEN).",
		),
		user: described(
			z.optional(matching(/^[a-z_][a-z0-9_-]{0,31}$/)),
			"The user of the process that speaks HTTP. Default: l3dsr, or nobody if the host has no user l3dsr.",
		),
	}),
);

export const configSchema = z.strictObject({
	datapath: described(
		z.optional(z.enum(DATAPATH_CHOICES)),
		"What rewrites packets. auto: eBPF where it can, nft elsewhere.",
		"auto",
	),
	hook: described(z.optional(z.enum(HOOKS)), "Where the ebpf datapath sees packets.", "tc"),
	"open-checksums": described(
		z.optional(z.enum(OPEN_CHECKSUM_CHOICES)),
		"XDP on devices whose packets may come without their checksum (veth, virtio): refused, or accepted because nothing that is rewritten is forwarded.",
		"refuse",
	),
	interfaces: described(
		z.optional(interfaces),
		"Where packets from directors arrive. Default: every interface that has a global address.",
	),
	table: described(
		z.optional(z.enum(Object.keys(CHAINS) as [Table, ...Table[]])),
		"The table whose PREROUTING chain holds the rules.",
		"raw",
	),
	include: described(
		z.optional(z.string().check(z.minLength(1))),
		"A folder of dsr.conf files (or one such file) whose services are this host's too.",
	),
	fleet: described(
		z.optional(z.string().check(z.minLength(1))),
		"The fleet's table, fleet.yaml: this host serves every VIP with a pool that lists one of its addresses.",
	),
	director: described(
		z.optional(z.lazy(directorSchema)),
		"This host is a director: it sends the packets for the fleet's VIPs to real servers. Needs fleet.",
	),
	agent: described(z.optional(z.lazy(agentSchema)), "Where the agent shows what it does, and to whom."),
	services: described(z.optional(z.nullable(z.array(serviceSchema))), "The VIPs of this host."),
});
