/** Which process sent a netlink request, of which the kernel reports only the port of its socket. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { errnoOfFileError } from "@l3dsr/linux";

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
	 * have such a socket, or have been started just now, as `ip` is; one that has ended is named by its number alone.
	 */
	of(pid: number): NetlinkSender | undefined {
		if (!this.#known.has(pid)) this.#known.set(pid, senderOf(pid));
		return this.#known.get(pid);
	}
}

function senderOf(pid: number): NetlinkSender | undefined {
	let program: string;
	try {
		program = readFileSync(`/proc/${pid}/comm`, "utf8").trim();
	} catch {
		return { process: pid };
	}
	const socket = socketWithPort(pid);
	const isSender = socket === undefined ? isNewOrEnded(pid) : mayHave(pid, socket);
	return isSender ? { process: pid, program } : undefined;
}

const NETLINK_ROUTE = "0";
/** Libraries that choose their own port add a counter above the process id, which is below 2^22 (libnl). */
const PROCESS_MASK = 0x3fffff;

/**
 * The inode of the open socket with this process's port in this network namespace; undefined if there is none.
 * /proc/net/netlink: `sk Eth Pid Groups … Inode`.
 */
function socketWithPort(pid: number): string | undefined {
	return readFileSync("/proc/self/net/netlink", "utf8")
		.split("\n")
		.map((line) => line.trim().split(/\s+/))
		.find(([, protocol, port]) => protocol === NETLINK_ROUTE && (Number(port) & PROCESS_MASK) === pid)
		?.at(-1);
}

/** True also if the kernel does not tell: a process with more capabilities than ours keeps its descriptors to itself. */
function mayHave(pid: number, inode: string): boolean {
	const folder = `/proc/${pid}/fd`;
	try {
		return readdirSync(folder).some((fd) => targetOf(`${folder}/${fd}`) === `socket:[${inode}]`);
	} catch {
		return true;
	}
}

/** Undefined if the descriptor has been closed meanwhile. Throws EACCES. */
function targetOf(descriptor: string): string | undefined {
	try {
		return readlinkSync(descriptor);
	} catch (error) {
		if (errnoOfFileError(error) === "ENOENT") return undefined;
		throw error;
	}
}

/** proc(5), /proc/PID/stat: the state, and the start in hundredths of a second since boot, follow the name. */
const STATE = 0;
const STARTED = 19;
const NEW_SECONDS = 1;

/** A command that makes one change is at its end when the change is reported, and has closed its socket. */
function isNewOrEnded(pid: number): boolean {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
		const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
		const uptime = Number.parseFloat(readFileSync("/proc/uptime", "utf8"));
		const isOver = fields[STATE] === "Z" || fields[STATE] === "X";
		return isOver || uptime - Number(fields[STARTED]) / 100 < NEW_SECONDS;
	} catch {
		return true; // it has ended meanwhile
	}
}
