/**
 * The shape of l3dsr.yaml: one zod schema, from which the file is checked and the JSON Schema for editors
 * (docs/reference/l3dsr.schema.json) is generated. What a value means is read in read-value.ts; the
 * patterns here say the same for editors. Loaded only when a file is read: zod takes tens of milliseconds.
 */
import { z } from "zod";
import { DATAPATH_CHOICES, HOOKS, OPEN_CHECKSUM_CHOICES } from "../../model/configuration.ts";
import { DSCP_CLASSES } from "../../model/dscp.ts";
import { CHAINS, PROTOCOL_NUMBER, type Table } from "../../model/rule.ts";
import { MAX_PORT, NAME_PATTERN } from "./read-value.ts";

const interfaceName = z.string().regex(/^[^\s/:]{1,15}$/);
const interfaces = z.union([interfaceName, z.array(interfaceName).min(1)]);
const port = z.int().min(1).max(MAX_PORT);
const portOrRange = z.union([port, z.string().regex(/^[0-9]{1,5}(-[0-9]{1,5})?$/)]);
const protocolNames = Object.keys(PROTOCOL_NUMBER) as [keyof typeof PROTOCOL_NUMBER];
const protocol = z.union([z.enum(protocolNames), z.int().min(1).max(255)]);

export const serviceSchema = z.strictObject({
	vip: z.string().meta({ description: "The virtual IP, IPv4 or IPv6, without a prefix length." }),
	name: z
		.string()
		.regex(NAME_PATTERN)
		.optional()
		.meta({ description: "What to call the service; its VIP where absent." }),
	dscp: z
		.union([
			z.int().min(0).max(63),
			z.string().regex(new RegExp(`^(${Object.keys(DSCP_CLASSES).join("|")})$`)),
			z.string().regex(/^(0x[0-9a-fA-F]{1,2}|0|[1-9][0-9]?)$/),
		])
		.optional()
		.meta({
			description:
				"The code that the director marks packets for this VIP with, 0-63 (not the TOS byte, which is four times that), or a class such as AF41. Without dscp, mark, interface and real the service is L2DSR.",
		}),
	mark: z
		.union([
			z.int().min(0).max(0xffffffff),
			z.string().regex(/^(0x[0-9a-fA-F]+|[0-9]+)(\/(0x[0-9a-fA-F]+|[0-9]+))?$/),
		])
		.optional()
		.meta({ description: "Packet mark, VALUE or VALUE/MASK." }),
	interface: interfaces.optional().meta({
		description:
			"Only packets that arrive on this interface, or one of these; eth+ is every name that begins with eth.",
	}),
	real: z
		.string()
		.optional()
		.meta({ description: "Only packets that the director sent to this address (or prefix) of the host." }),
	protocol: z
		.union([protocol, z.array(protocol).min(1)])
		.optional()
		.meta({
			description: "Only this IP protocol, or one of these. With ports and no protocol: tcp and udp.",
		}),
	ports: z
		.union([portOrRange, z.array(portOrRange).min(1)])
		.optional()
		.meta({ description: "Only these destination ports: 80, 8000-8099, or a list." }),
	"set-port": port.optional().meta({ description: "Rewrite the destination port to this one as well." }),
	"clear-dscp": z
		.boolean()
		.optional()
		.meta({ description: "Set DSCP to 0 after the rewrite, so that answers do not carry the code." }),
});

export const configSchema = z.strictObject({
	datapath: z
		.enum(DATAPATH_CHOICES)
		.optional()
		.meta({ description: "What rewrites packets. auto: eBPF where it can, nft elsewhere.", default: "auto" }),
	hook: z
		.enum(HOOKS)
		.optional()
		.meta({ description: "Where the ebpf datapath sees packets.", default: "tc" }),
	"open-checksums": z.enum(OPEN_CHECKSUM_CHOICES).optional().meta({
		description:
			"XDP on devices whose packets may come without their checksum (veth, virtio): refused, or accepted because nothing that is rewritten is forwarded.",
		default: "refuse",
	}),
	interfaces: interfaces.optional().meta({
		description: "Where packets from directors arrive. Absent: every interface that has a global address.",
	}),
	table: z
		.enum(Object.keys(CHAINS) as [Table, ...Table[]])
		.optional()
		.meta({ description: "The table whose PREROUTING chain holds the rules.", default: "raw" }),
	include: z.string().min(1).optional().meta({
		description: "A folder of dsr.conf files (or one such file) whose services are this host's too.",
	}),
	services: z.array(serviceSchema).nullable().optional().meta({ description: "The VIPs of this host." }),
});

/** The JSON Schema (2020-12) of the file, for editors. */
export function jsonSchema(): object {
	return {
		title: "l3dsr.yaml",
		...z.toJSONSchema(configSchema, { io: "input" }),
	};
}
