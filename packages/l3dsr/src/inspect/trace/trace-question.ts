/** Traces one packet, given by its fields, through the rules of this host: a request to the agent over HTTP. */
import { type Address, dscp, isDscp, isPort, LINK_TYPE, parseAddress } from "@l3dsr/packet";
import { L3dsrError } from "../../errors.ts";
import type { Printable } from "../../json.ts";
import { isInterfaceName } from "../../model/interface-name.ts";
import { buildPacket } from "./build-packet.ts";
import { packetIn } from "./input-packet.ts";
import { packetRecord } from "./record.ts";
import { liveSituation } from "./situation.ts";
import { traceAll } from "./trace-all.ts";

/** As requested (GET /v1/trace); untrusted. */
export interface PacketQuestion {
	readonly from: string;
	readonly to: string;
	readonly protocol: "tcp" | "udp" | "icmp";
	readonly port?: number;
	readonly source?: number;
	readonly dscp: number;
	readonly ecn: number;
	readonly ttl: number;
	readonly mark: number;
	readonly interface?: string;
}

const DEFAULT_PORT = 80;
const DEFAULT_SOURCE = 40_000;

/**
 * Also runs copies of eBPF programs, but not of nftables rules, which would need a network namespace.
 * Changes nothing. Throws L3dsrError: USAGE, KERNEL_*.
 */
export async function traceQuestion(question: PacketQuestion): Promise<Printable<"trace">> {
	const { from, to, protocol, port = DEFAULT_PORT, source = DEFAULT_SOURCE, ecn, ttl, mark } = question;
	const [sender, destination] = [addressOf(from), addressOf(to)];
	const isGood =
		isDscp(question.dscp) &&
		isPort(port) &&
		isPort(source) &&
		isWhole(ecn, 3) &&
		isWhole(ttl, 255) &&
		isWhole(mark, 0xffff_ffff) &&
		["tcp", "udp", "icmp"].includes(protocol) &&
		(question.interface === undefined || isInterfaceName(question.interface));
	if (!isGood) throw usage("a field has the wrong form");
	if (sender.family !== destination.family || sender.text === destination.text) {
		throw usage("from and to must be addresses of the same family");
	}
	const bytes = buildPacket({
		source: sender,
		destination,
		dscp: dscp(question.dscp),
		ecn,
		ttl,
		transport:
			protocol === "icmp" ? { kind: "icmp" } : { kind: protocol, destinationPort: port, sourcePort: source },
	});
	using situation = await liveSituation(
		{ to, ...(question.interface === undefined ? {} : { interface: question.interface }), copyRules: false },
		{ mark },
	);
	const frame = { linkType: LINK_TYPE.raw, timestampNs: 0n, bytes, lengthBytes: bytes.length };
	const { results } = await traceAll([packetIn(frame)], situation, { mark });
	const [traced] = results;
	if (traced === undefined || "notIp" in traced) throw usage("it is not an IP packet");
	return { source: situation.source, notes: situation.notes, ...packetRecord(traced, 1) };
}

function addressOf(text: string): Address {
	const address = typeof text === "string" ? parseAddress(text) : undefined;
	if (address !== undefined) return address;
	throw usage("an address cannot be read");
}

function isWhole(value: number, most: number): boolean {
	return Number.isInteger(value) && value >= 0 && value <= most;
}

function usage(why: string): L3dsrError {
	return new L3dsrError({ code: "USAGE", message: `trace a packet: ${why}` });
}
