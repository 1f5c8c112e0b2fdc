/**
 * The results of the agent's health checks, for other commands: in a file that is valid while the agent
 * that wrote it lives. The director's tables say who is healthy; this file says why.
 */
import { readFileSync, rmSync } from "node:fs";
import type { FoundCheck } from "../model/real-check.ts";
import { type AgentPresence, findAgent } from "./agent-presence.ts";
import { replaceFile, writeFailure } from "./files.ts";
import { runFile } from "./run-file.ts";

/** `/run/l3dsr.INODE.checks`, INODE that of the network namespace. */
function foundChecksPath(): string {
	return runFile("checks");
}

/** Called by the agent. Writes the whole file or nothing. Throws L3dsrError (FILE_WRITE). */
export function writeFoundChecks(checks: readonly FoundCheck[], path: string = foundChecksPath()): void {
	try {
		replaceFile(path, Buffer.from(`${JSON.stringify({ process: process.pid, checks })}\n`));
	} catch (cause) {
		throw writeFailure("what the health checks have found to", path, cause);
	}
}

/** Called by the agent when it ends. */
export function removeFoundChecks(path: string = foundChecksPath()): void {
	rmSync(path, { force: true });
}

/** Undefined if no agent lives, or if it checks nothing. Throws LinuxError if that is unknown. */
export function readFoundChecks(
	path: string = foundChecksPath(),
	agent: () => Pick<AgentPresence, "process"> | undefined = findAgent,
): readonly FoundCheck[] | undefined {
	const living = agent();
	if (living === undefined) return undefined;
	try {
		const { process, checks } = JSON.parse(readFileSync(path, "utf8"));
		// Only an agent writes it, and atomically.
		return process === living.process && Array.isArray(checks) ? checks : undefined;
	} catch {
		return undefined; // it does not exist yet, or it is not a file of the agent
	}
}
