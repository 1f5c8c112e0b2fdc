/**
 * An operator's order to the agent: leave this host alone. `l3dsr down` gives it and `l3dsr up` revokes it.
 * It survives the agent, whose restart must not bring a host back into service, and ends with a reboot.
 */
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { L3dsrError } from "../errors.ts";
import { type AgentPresence, findAgent } from "./agent-presence.ts";
import { fileReason } from "./files.ts";
import { runFile } from "./run-file.ts";

export interface Hold {
	/** The command: `l3dsr down`. */
	readonly by: string;
	/** ISO 8601, UTC. */
	readonly since: string;
}

/** `/run/l3dsr.INODE.held`, INODE that of the network namespace. */
export function holdPath(): string {
	return runFile("held");
}

/** Undefined: the agent may work. An unreadable file counts as a hold. */
export function readHold(path: string = holdPath()): Hold | undefined {
	try {
		const { by, since } = JSON.parse(readFileSync(path, "utf8"));
		if (typeof by === "string" && typeof since === "string") return { by, since };
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
	}
	return { by: path, since: modifiedAt(path) };
}

function modifiedAt(path: string): string {
	return (statSync(path, { throwIfNoEntry: false })?.mtime ?? new Date()).toISOString();
}

/** Throws L3dsrError (FILE_WRITE); then there is no hold. */
function writeHold(hold: Hold, path: string = holdPath()): void {
	try {
		writeFileSync(path, `${JSON.stringify(hold)}\n`, { mode: 0o644 });
	} catch (cause) {
		releaseHold(path);
		throw new L3dsrError(
			{
				code: "FILE_WRITE",
				message: `write ${path}, which tells the agent to leave this host alone: ${fileReason(cause)}`,
				hint: "free space there, or stop the agent first",
			},
			{ cause },
		);
	}
}

/** True if there was one. */
export function releaseHold(path: string = holdPath()): boolean {
	const held = statSync(path, { throwIfNoEntry: false }) !== undefined;
	rmSync(path, { force: true });
	return held;
}

/** Whether an agent keeps the configuration applied to this host. */
export interface Keeping {
	/** Null if no agent runs. */
	readonly agent: AgentPresence | null;
	/** Null unless an operator told agents to leave this host alone. */
	readonly hold: Hold | null;
}

export function observeKeeping(): Keeping {
	return { agent: findAgent() ?? null, hold: readHold() ?? null };
}

/** Holds the agent, which would otherwise bring everything back; returns the step that releases it again. */
export function holdAgent(by: Hold["by"]): () => void {
	if (findAgent() === undefined || readHold() !== undefined) return () => {};
	writeHold({ by, since: new Date().toISOString() });
	return () => void releaseHold();
}
