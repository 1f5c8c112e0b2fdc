/** Changes of interfaces, addresses, routes and, for a director, neighbours. */
import { readFileSync } from "node:fs";
import { type IfIndex, listInterfaces, type NetworkEvent, NetworkMonitor, watchReadable } from "@l3dsr/linux";
import type { ReportedChange } from "../cause.ts";
import type { EventHandler, EventReader, HostEvent } from "./event.ts";

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
		for (const event of monitor.read()) {
			const hostEvent = eventOf(event, links, nextHops);
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

	/** A sentence if the interface was created, deleted or renamed. */
	note(event: NetworkEvent & { readonly kind: "link" }): string | undefined {
		const { index, name } = event.interface;
		const before = this.#names.get(index);
		if (event.change === "deleted") {
			this.#names.delete(index);
			return `interface ${name} was deleted`;
		}
		this.#names.set(index, name);
		if (before === undefined) return `interface ${name} was created`;
		return before === name ? undefined : `interface ${before} was renamed to ${name}`;
	}
}

function namesOfInterfaces(): Map<IfIndex, string> {
	return new Map(listInterfaces().map(({ index, name }) => [index, name]));
}

function eventOf(event: NetworkEvent, links: Links, nextHops: boolean): HostEvent | undefined {
	switch (event.kind) {
		case "lost":
			links.readAgain();
			return { trigger: "lost" };
		case "link": {
			const link = links.note(event);
			return { trigger: "link", ...(link === undefined ? {} : { link }), ...changeOf(event.by) };
		}
		case "address":
			return { trigger: "address", ...changeOf(event.by) };
		case "route":
			// Of the routes, a real server needs only those of its own addresses (type local).
			return nextHops || event.route.type === "local" ? { trigger: "route" } : undefined;
		case "neighbour":
			return { trigger: "neighbour" };
		case "tc":
			return { trigger: "program", programs: true };
	}
}

function changeOf(by: number | undefined): { readonly change?: ReportedChange } {
	if (by === undefined || by === process.pid) return {};
	const program = programOf(by);
	return { change: { on: "network", process: by, ...(program === undefined ? {} : { program }) } };
}

/** Undefined if the process has already ended, as `ip` usually has. */
function programOf(pid: number): string | undefined {
	try {
		return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
	} catch {
		return undefined;
	}
}
