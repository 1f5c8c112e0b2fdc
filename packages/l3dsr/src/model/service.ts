/**
 * A service: a VIP and the packets that are meant for it. What an operator configures; rules are what it
 * is lowered to (lower-service.ts).
 */
import type { Address, Dscp, Port, Prefix } from "@l3dsr/packet";
import type { InterfaceName } from "./interface-name.ts";
import type { NumberRange } from "./rule.ts";

/** Which packets a service takes: those that meet every condition that is present. */
export interface Selection {
	readonly dscp?: Dscp;
	/** `(packet mark & mask) == value`. Unsigned 32 bit each. */
	readonly mark?: { readonly value: number; readonly mask: number };
	/** Arrived on one of these. */
	readonly interfaces?: readonly InterfaceName[];
	/** The address that the director sent the packet to: the real server's own. */
	readonly real?: Prefix;
	/** IP protocol numbers, one of them. */
	readonly protocols?: readonly number[];
	/** Transport destination ports, one of them. Then `protocols` holds only protocols that have ports. */
	readonly ports?: readonly NumberRange[];
}

export interface Service {
	/** For people, and the ownership mark of the rules: the VIP's text where none was given. */
	readonly name: string;
	readonly vip: Address;
	/** Absent: L2DSR (the packet arrives for the VIP already; the host only has to hold it). */
	readonly selection?: Selection;
	/** New transport destination port, 1–65535. */
	readonly setPort?: Port;
	readonly clearDscp: boolean;
}

/** `l3dsr` when packets are told apart by what they carry, `l2dsr` when they arrive for the VIP itself. */
export function serviceType(service: Service): "l3dsr" | "l2dsr" {
	return service.selection === undefined ? "l2dsr" : "l3dsr";
}

/** A service as a configuration file has it, with the spellings of its author, which is how people see it. */
export interface WrittenService {
	readonly service: Service;
	/** The VIP: an address in any notation, or a host name. */
	readonly vipText: string;
	/** Absent for L2DSR. */
	readonly dscpText?: string;
}
