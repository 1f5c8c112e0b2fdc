/** The packet that `l3dsr trace` is asked about, as a client would send it: no payload. Pure. */
import {
	type Address,
	type Dscp,
	echoRequestPacket,
	sameAddress,
	TCP_FLAG,
	tcpPacket,
	tosOfDscp,
	udpPacket,
} from "@l3dsr/packet";

export type PacketTransport =
	/** TCP: a SYN. */
	| { readonly kind: "tcp" | "udp"; readonly destinationPort: number; readonly sourcePort: number }
	/** Echo request. */
	| { readonly kind: "icmp" };

export interface PacketFields {
	readonly source: Address;
	/** In the source's family. */
	readonly destination: Address;
	readonly dscp: Dscp;
	/** 0–3. */
	readonly ecn: number;
	/** TTL or hop limit. */
	readonly ttl: number;
	readonly transport: PacketTransport;
}

/** The IP packet. Throws a RangeError if the addresses are equal, or of different families. */
export function buildPacket(fields: PacketFields): Uint8Array {
	const { source, destination, dscp, ecn, ttl, transport } = fields;
	if (sameAddress(source, destination)) throw new RangeError("a packet goes from one address to another");
	const ip = { source, destination, tos: tosOfDscp(dscp) | ecn, ttl };
	const data = new Uint8Array();
	if (transport.kind === "icmp") return echoRequestPacket(ip, { id: 1, sequence: 1, data });
	const { kind, sourcePort, destinationPort } = transport;
	if (kind === "udp") return udpPacket(ip, { sourcePort, destinationPort, data });
	return tcpPacket(ip, { sourcePort, destinationPort, sequence: 0, flags: TCP_FLAG.syn, window: 0xffff });
}
