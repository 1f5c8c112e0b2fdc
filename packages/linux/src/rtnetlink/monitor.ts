/**
 * Reports changes of a network namespace's links, addresses, routes and neighbours, whichever process made
 * them.
 */
import { ERRNO } from "../errno.ts";
import { type IfIndex, ifIndexOf } from "../if-index.ts";
import { decodeInterface, IFINFOMSG, type NetInterface } from "../interface.ts";
import { Layout } from "../layout.ts";
import { SyscallError } from "../libc.ts";
import { Netlink, type UnsolicitedMessage } from "../netlink.ts";
import { decodeAddress, type HeldAddress } from "./address.ts";
import { decodeNeighbour, type Neighbour } from "./neighbour.ts";
import { RTM } from "./protocol.ts";
import { decodeIpRoute, type Route } from "./route.ts";

/** RTNLGRP_*, include/uapi/linux/rtnetlink.h. */
const GROUPS = {
	link: [1],
	neighbour: [3],
	tc: [4],
	address: [5, 9],
	route: [7, 11],
} as const;
export type NetworkTopic = keyof typeof GROUPS;
const DESCRIBED: Readonly<Record<NetworkTopic, string>> = {
	link: "interfaces",
	neighbour: "neighbours",
	tc: "traffic control",
	address: "addresses",
	route: "routes",
};

export type NetworkEvent =
	| {
			readonly kind: "link";
			readonly change: NetworkChange;
			readonly interface: NetInterface;
			readonly by?: number;
	  }
	| {
			readonly kind: "address";
			readonly change: NetworkChange;
			readonly address: HeldAddress;
			readonly by?: number;
	  }
	| { readonly kind: "route"; readonly change: NetworkChange; readonly route: Route; readonly by?: number }
	| {
			readonly kind: "neighbour";
			readonly change: NetworkChange;
			readonly neighbour: Neighbour;
			readonly by?: number;
	  }
	/** A queueing discipline or filter of tc, including clsact. The kernel reports no changes of tcx. */
	| { readonly kind: "tc"; readonly change: NetworkChange; readonly index: IfIndex; readonly by?: number }
	/** The kernel dropped events: list everything again. */
	| { readonly kind: "lost" };

/** `set`: new, or changed. `by` is the process that made the change, if known. */
export type NetworkChange = "set" | "deleted";

/** struct tcmsg. */
const TCMSG = new Layout({
	family: "u8",
	_pad1: "u8",
	_pad2: "u16",
	index: "s32",
	handle: "u32",
	parent: "u32",
	info: "u32",
});
const BUFFER_BYTES = 1 << 20;
/** Process ids on Linux are below 2^22; libraries that choose their own port add a counter above (libnl). */
const PROCESS_BITS = 22;

export class NetworkMonitor implements Disposable {
	readonly #netlink = new Netlink();

	/** Receives the events of the calling thread's network namespace from now on. Throws SyscallError. */
	constructor(topics: readonly NetworkTopic[]) {
		try {
			for (const topic of topics) {
				for (const group of GROUPS[topic])
					this.#netlink.joinGroup(group, `listen for changes of ${DESCRIBED[topic]}`);
			}
			this.#holdMore();
		} catch (error) {
			this.#netlink[Symbol.dispose]();
			throw error;
		}
	}

	/**
	 * A burst of a thousand addresses must not be lost; without the privilege, the buffer keeps its usual
	 * size.
	 */
	#holdMore(): void {
		try {
			this.#netlink.holdAtMost(BUFFER_BYTES);
		} catch (error) {
			if (!(error instanceof SyscallError) || error.errno !== ERRNO.EPERM) throw error;
		}
	}

	/** Descriptor to watch (`watchReadable`); when it is readable, call {@link read}. */
	get fd(): number {
		return this.#netlink.fd;
	}

	/** Returns all pending events. Does not wait. Throws SyscallError. */
	read(): readonly NetworkEvent[] {
		const events: NetworkEvent[] = [];
		for (;;) {
			try {
				const messages = this.#netlink.unsolicited("read changes of the network");
				if (messages === undefined) return events;
				for (const message of messages) events.push(...eventsOf(message));
			} catch (error) {
				if (!(error instanceof SyscallError) || error.errno !== ERRNO.ENOBUFS) throw error;
				events.push({ kind: "lost" });
			}
		}
	}

	[Symbol.dispose](): void {
		this.#netlink[Symbol.dispose]();
	}
}

function eventsOf(message: UnsolicitedMessage): NetworkEvent[] {
	const by = processOf(message.port);
	const head = by === undefined ? {} : { by };
	switch (message.type) {
		case RTM.NEWLINK:
		case RTM.DELLINK: {
			// A bridge's messages about its ports have another family and other attributes.
			if (IFINFOMSG.decode(message.payload).family !== 0) return [];
			const change = message.type === RTM.NEWLINK ? "set" : "deleted";
			return [{ kind: "link", change, interface: decodeInterface(message), ...head }];
		}
		case RTM.NEWADDR:
		case RTM.DELADDR: {
			const change = message.type === RTM.NEWADDR ? "set" : "deleted";
			return decodeAddress(message).map((address) => ({ kind: "address", change, address, ...head }));
		}
		case RTM.NEWROUTE:
		case RTM.DELROUTE: {
			const change = message.type === RTM.NEWROUTE ? "set" : "deleted";
			return decodeIpRoute(message).map((route) => ({ kind: "route", change, route, ...head }));
		}
		case RTM.NEWNEIGH:
		case RTM.DELNEIGH: {
			const change = message.type === RTM.NEWNEIGH ? "set" : "deleted";
			return decodeNeighbour(message).map((neighbour) => ({ kind: "neighbour", change, neighbour, ...head }));
		}
		case RTM.NEWQDISC:
		case RTM.DELQDISC:
		case RTM.NEWTFILTER:
		case RTM.DELTFILTER: {
			const { index } = TCMSG.decode(message.payload);
			const isNew = message.type === RTM.NEWTFILTER || message.type === RTM.NEWQDISC;
			return [{ kind: "tc", change: isNew ? "set" : "deleted", index: ifIndexOf(index), ...head }];
		}
		default:
			return [];
	}
}

/**
 * The kernel gives the first netlink socket of a process the process id as its port, and further ones
 * negative numbers (netlink_autobind in net/netlink/af_netlink.c). A process may also choose a port, so this
 * is a hint.
 */
function processOf(port: number): number | undefined {
	return port === 0 || port >= 0x8000_0000 ? undefined : port & ((1 << PROCESS_BITS) - 1);
}
