/** Changes of interfaces, addresses, routes and, for a director, neighbours. */
import { type IfIndex, listInterfaces, type NetworkEvent, NetworkMonitor, watchReadable } from "@l3dsr/linux";
import { addressFromBytes } from "@l3dsr/packet";
import type { LinkEvent, ReportedChange } from "../cause.ts";
import type { EventHandler, EventReader, HostEvent } from "./event.ts";
import { NetlinkSenders } from "./netlink-senders.ts";

export interface NetworkScope {
	/**
	 * Whether to report every route and every neighbour, because a director's next hops depend on them. A real server
	 * needs only its own addresses.
	 */
	readonly nextHops: boolean;
}

/** Reports changes in this network namespace until disposed of. Throws SyscallError. */
export function monitorNetwork(report: EventHandler, { nextHops }: NetworkScope): EventReader {
	using opened = new DisposableStack();
	const monitor = opened.use(
		new NetworkMonitor(["link", "address", "route", "tc", ...(nextHops ? (["neighbour"] as const) : [])]),
	);
	const links = new Links();
	const read = (): void => {
		const senders = new NetlinkSenders();
		for (const event of monitor.read()) {
			const hostEvent = eventOf(event, links, senders, nextHops);
			if (hostEvent !== undefined) report(hostEvent);
		}
	};
	opened.use(watchReadable(monitor.fd, read));
	const owned = opened.move();
	return { read, [Symbol.dispose]: () => owned[Symbol.dispose]() };
}

/** Keeps the names of the interfaces, to tell a new interface from one that changed. */
class Links {
	#names = namesOfInterfaces();

	/** Events were lost: the end of an interface may be among them, and its name would be kept forever. */
	readAgain(): void {
		this.#names = namesOfInterfaces();
	}

	nameOf(index: IfIndex): string | undefined {
		return this.#names.get(index);
	}

	/** Undefined unless the interface was created, deleted or renamed. */
	note(event: NetworkEvent & { readonly kind: "link" }): LinkEvent | undefined {
		const { index, name } = event.interface;
		const before = this.#names.get(index);
		if (event.change === "deleted") {
			this.#names.delete(index);
			return { names: [name], text: `interface ${name} was deleted` };
		}
		this.#names.set(index, name);
		if (before === undefined) return { names: [name], text: `interface ${name} was created` };
		if (before === name) return undefined;
		return { names: [before, name], text: `interface ${before} was renamed to ${name}` };
	}
}

function namesOfInterfaces(): Map<IfIndex, string> {
	return new Map(listInterfaces().map(({ index, name }) => [index, name]));
}

function eventOf(
	event: NetworkEvent,
	links: Links,
	senders: NetlinkSenders,
	nextHops: boolean,
): HostEvent | undefined {
	const changeOf = (by: number | undefined, object: string): { readonly change?: ReportedChange } => {
		if (by === undefined || by === process.pid) return {};
		const sender = senders.of(by);
		return sender === undefined ? {} : { change: { on: "network", object, ...sender } };
	};
	switch (event.kind) {
		case "lost":
			links.readAgain();
			return { trigger: "lost" };
		case "link": {
			const link = links.note(event);
			const change = changeOf(event.by, event.interface.name);
			return { trigger: "link", ...(link === undefined ? {} : { link }), ...change };
		}
		case "address": {
			const { bytes, index } = event.address;
			const object = `${addressFromBytes(bytes).text} on ${links.nameOf(index)}`;
			return { trigger: "address", ...changeOf(event.by, object) };
		}
		case "route":
			// Of the routes, a real server needs only those of its own addresses (type local).
			return nextHops || event.route.type === "local" ? { trigger: "route" } : undefined;
		case "neighbour":
			return { trigger: "neighbour" };
		case "tc":
			return { trigger: "program", programs: true };
	}
}
