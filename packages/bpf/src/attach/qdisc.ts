/** The queueing disciplines of interfaces, of which clsact and ingress hold programs. */

import { Layout, Netlink } from "@l3dsr/linux";

export const RTM_GETQDISC = 38;

/** TC_H_CLSACT (equal to TC_H_INGRESS), the parent of the qdisc. */
export const PARENT_CLSACT = 0xffff_fff1;

export const TCMSG = new Layout({
	family: "u8",
	_pad1: "u8",
	_pad2: "u16",
	ifindex: "s32",
	handle: "u32",
	parent: "u32",
	/** Protocol of a filter in network byte order, with the priority above it. */
	protocol: "be16",
	priority: "u16",
});

/** Indexes of the interfaces with a qdisc that can hold such filters, from one dump. */
export function interfacesWithIngress(): ReadonlySet<number> {
	using netlink = new Netlink();
	const doing = "list the qdiscs";
	const fixed = netlink
		.dump({ type: RTM_GETQDISC, payload: TCMSG.encode({}), doing })
		.map(({ payload }) => TCMSG.decode(payload));
	return new Set(fixed.filter(({ parent }) => parent === PARENT_CLSACT).map(({ ifindex }) => ifindex));
}
