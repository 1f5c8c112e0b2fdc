/**
 * A service: a VIP and the packets meant for it. Operators configure services, and lower-service.ts turns them into
 * rules.
 */
import type { Address, Dscp, Port, Prefix } from "@l3dsr/packet";
import type { InterfaceName } from "./interface-name.ts";
import type { NumberRange } from "./rule.ts";

/** The packets that a service takes: those that meet every condition given. */
export interface Selection {
	readonly dscp?: Dscp;
	/** `(packet mark & mask) == value`. Unsigned, 32 bits each. */
	readonly mark?: { readonly value: number; readonly mask: number };
	/** Received on one of these interfaces. */
	readonly interfaces?: readonly InterfaceName[];
	/** The address that the director sent the packet to: the real server's own. */
	readonly real?: Prefix;
	/** One of these IP protocol numbers. */
	readonly protocols?: readonly number[];
	/** One of these transport destination ports. `protocols` then has only protocols with ports. */
	readonly ports?: readonly NumberRange[];
}

export interface Service {
	/** For people, and for the rules' ownership mark; default: the VIP's text. */
	readonly name: string;
	readonly vip: Address;
	/** Absent: L2DSR (the packet already has the VIP as destination; the host only has to have the VIP). */
	readonly selection?: Selection;
	/** New transport destination port, 1–65535. */
	readonly setPort?: Port;
	readonly clearDscp: boolean;
}

/** `l3dsr` if packets are identified by what they carry, `l2dsr` if they arrive for the VIP itself. */
export function serviceType(service: Service): "l3dsr" | "l2dsr" {
	return service.selection === undefined ? "l2dsr" : "l3dsr";
}

/** A service as written in a configuration file, with its author's spelling, for display. */
export interface WrittenService {
	readonly service: Service;
	/** The VIP: an address in any notation, or a host name. */
	readonly vipText: string;
	/** Absent for L2DSR. */
	readonly dscpText?: string;
}
