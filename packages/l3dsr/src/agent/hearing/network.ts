/** Changes of interfaces, addresses, routes and, for a director, neighbours. */
import { readFileSync } from "node:fs";
import { type IfIndex, listInterfaces, type NetworkEvent, NetworkMonitor, watchReadable } from "@l3dsr/linux";
import type { Deed } from "../cause.ts";
import type { Ear, Hear, Heard } from "./heard.ts";

export interface NetworkHearing {
	/** A director's ways to its real servers: every route, and every neighbour. A real server needs only its own addresses. */
	readonly nextHops: boolean;
}

/** Of this namespace, until disposed of. Throws SyscallError. */
export function hearNetwork(hear: Hear, { nextHops }: NetworkHearing): Ear {
	using opened = new DisposableStack();
	const monitor = opened.use(
		new NetworkMonitor(["link", "address", "route", "tc", ...(nextHops ? (["neighbour"] as const) : [])]),
	);
	const links = new Links();
	const read = (): void => {
		for (const event of monitor.read()) {
			const heard = heardOf(event, links, nextHops);
			if (heard !== undefined) hear(heard);
		}
	};
	opened.use(watchReadable(monitor.fd, read));
	const owned = opened.move();
	return { read, [Symbol.dispose]: () => owned[Symbol.dispose]() };
}

/** Which interfaces there are, to tell one that came from one that changed. */
class Links {
	readonly #names = new Map<IfIndex, string>(listInterfaces().map(({ index, name }) => [index, name]));

	/** What happened, where it is more than a change of the interface. */
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

function heardOf(event: NetworkEvent, links: Links, nextHops: boolean): Heard | undefined {
	switch (event.kind) {
		case "lost":
			return { trigger: "lost" };
		case "link": {
			const link = links.note(event);
			return { trigger: "link", ...(link === undefined ? {} : { link }), ...deedOf(event.by) };
		}
		case "address":
			return { trigger: "address", ...deedOf(event.by) };
		case "route":
			// Of routes, a real server needs to know which addresses are its own.
			return nextHops || event.route.type === "local" ? { trigger: "route" } : undefined;
		case "neighbour":
			return { trigger: "neighbour" };
		case "tc":
			return { trigger: "program", programs: true };
	}
}

function deedOf(by: number | undefined): { readonly deed?: Deed } {
	if (by === undefined || by === process.pid) return {};
	const program = programOf(by);
	return { deed: { on: "network", process: by, ...(program === undefined ? {} : { program }) } };
}

/** What `ip` has done it has done before one can look. */
function programOf(pid: number): string | undefined {
	try {
		return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
	} catch {
		return undefined;
	}
}
