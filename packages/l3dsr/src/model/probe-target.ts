/** Whom a probe asks: a real server, by a packet that is marked as a director would mark it. */
import type { Address, Dscp, Port } from "@l3dsr/packet";

export type ProbeProtocol = "tcp" | "udp" | "icmp";

export interface ProbeTarget {
	/** The real server's own address. */
	readonly real: Address;
	readonly dscp: Dscp;
	readonly protocol: ProbeProtocol;
	/** Of the service; none for ICMP. */
	readonly port?: Port;
	/** Who is to answer. Without it, any address but the real one will do. */
	readonly vip?: Address;
}
