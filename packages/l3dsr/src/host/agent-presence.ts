/** Whether an agent manages this host, and with which configuration: at most one in each network namespace. */
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { FileLock, LinuxError } from "@l3dsr/linux";
import { L3dsrError } from "../errors.ts";
import { fileReason } from "./files.ts";
import { runFile } from "./run-file.ts";

export interface AgentPresence {
	readonly process: number;
	/** Absolute path of the configuration. */
	readonly configuration: string;
}

/** `/run/l3dsr.INODE.agent`, INODE that of the network namespace. Locked while the agent lives. */
function agentPath(): string {
	return runFile("agent");
}

/** Longer than any process holds the lock to test for an agent. */
const ASKED_MS = 1000;

/** Registers this process as the agent, until the result is disposed or the process ends. Throws AGENT_RUNNING. */
export async function becomeAgent(presence: AgentPresence, path: string = agentPath()): Promise<Disposable> {
	let lock: FileLock;
	try {
		lock = await FileLock.acquire(path, { waitMs: ASKED_MS });
	} catch (error) {
		if (!(error instanceof LinuxError) || error.code !== "LOCK_HELD") throw error;
		const other = readPresence(path);
		throw new L3dsrError(
			{
				code: "AGENT_RUNNING",
				message: `start the agent: another one already manages this host${other === undefined ? "" : `, process ${other.process} with ${other.configuration}`}`,
				hint: "stop that one first (systemctl stop l3dsr-agent), or keep using it",
			},
			{ cause: error },
		);
	}
	try {
		writeFileSync(path, `${JSON.stringify(presence)}\n`);
	} catch (cause) {
		lock[Symbol.dispose]();
		throw new L3dsrError(
			{ code: "FILE_WRITE", message: `write ${path}: ${fileReason(cause)}`, hint: "make room there" },
			{ cause },
		);
	}
	return lock;
}

/** The running agent; undefined if there is none. */
export function findAgent(path: string = agentPath()): AgentPresence | undefined {
	return FileLock.isHeld(path) ? readPresence(path) : undefined;
}

/** Throws AGENT_RUNNING if an agent applies another file to this host: it would revert the change at once. */
export function requireAgentAgrees(configuration: string): void {
	const agent = findAgent();
	if (agent === undefined || agent.configuration === resolve(configuration)) return;
	throw new L3dsrError({
		code: "AGENT_RUNNING",
		message: `make this host what ${configuration} says: the agent (process ${agent.process}) keeps it as ${agent.configuration} says`,
		hint: "change that file, or stop the agent first (systemctl stop l3dsr-agent)",
	});
}

function readPresence(path: string): AgentPresence | undefined {
	try {
		const { process, configuration } = JSON.parse(readFileSync(path, "utf8"));
		return typeof process === "number" && typeof configuration === "string"
			? { process, configuration }
			: undefined;
	} catch {
		return undefined;
	}
}
