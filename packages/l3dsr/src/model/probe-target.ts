/** The target of a probe: a real server, and the mark that a director would put on the packet. */
import type { Address, Dscp, Port } from "@l3dsr/packet";

export type ProbeProtocol = "tcp" | "udp" | "icmp";

export interface ProbeTarget {
	/** The real server's own address. */
	readonly real: Address;
	readonly dscp: Dscp;
	readonly protocol: ProbeProtocol;
	/** Port of the service; none for ICMP. */
	readonly port?: Port;
	/** The expected responder; without it, any address except the real one. */
	readonly vip?: Address;
}
