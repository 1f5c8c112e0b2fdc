/** Which process sent a netlink request, of which the kernel reports only the port of its socket. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface NetlinkSender {
	readonly process: number;
	/** From /proc/PID/comm. */
	readonly program?: string;
}

/** For the events of one moment: what it has read of /proc is not read again. */
export class NetlinkSenders {
	readonly #known = new Map<number, NetlinkSender | undefined>();

	/**
	 * The port of a process's first netlink socket is its process id, but in the process's own PID namespace: a daemon in
	 * a container that uses the host's network may have the number of another process here. So a process that runs must
	 * have such a socket; one that has ended, as `ip` usually has, is named by its number alone.
	 */
	of(pid: number): NetlinkSender | undefined {
		if (!this.#known.has(pid)) this.#known.set(pid, senderOf(pid));
		return this.#known.get(pid);
	}
}

function senderOf(pid: number): NetlinkSender | undefined {
	let program: string;
	let sockets: readonly string[];
	try {
		program = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
		sockets = socketsOf(pid);
	} catch {
		return { process: pid };
	}
	return hasPort(pid, sockets) || hasEnded(pid) ? { process: pid, program } : undefined;
}

/** Inodes of the sockets of a process. Throws if it has ended. */
function socketsOf(pid: number): string[] {
	const folder = `/proc/${pid}/fd`;
	return readdirSync(folder).flatMap((fd) => {
		try {
			return /^socket:\[(\d+)\]$/.exec(readlinkSync(`${folder}/${fd}`))?.[1] ?? [];
		} catch {
			return []; // it has been closed meanwhile
		}
	});
}

const NETLINK_ROUTE = "0";
/** Libraries that choose their own port add a counter above the process id, which is below 2^22 (libnl). */
const PROCESS_MASK = 0x3fffff;

/** Whether one of these sockets has a port of this process: `sk Eth Pid Groups … Inode`, in this network namespace. */
function hasPort(pid: number, inodes: readonly string[]): boolean {
	if (inodes.length === 0) return false;
	return readFileSync("/proc/self/net/netlink", "utf8")
		.split("\n")
		.map((line) => line.trim().split(/\s+/))
		.some(
			([, protocol, port, ...rest]) =>
				protocol === NETLINK_ROUTE &&
				(Number(port) & PROCESS_MASK) === pid &&
				inodes.includes(rest.at(-1) ?? ""),
		);
}

/** It has closed its sockets, and its parent has not asked for its exit code yet. */
function hasEnded(pid: number): boolean {
	try {
		return /^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
	} catch {
		return true;
	}
}
