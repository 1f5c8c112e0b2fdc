/**
 * What the agent's health checks have found out, for the commands beside it: in a file, which counts as long as the agent
 * that wrote it lives. Who is healthy is in the director's tables; here is why.
 */
import { readFileSync, rmSync } from "node:fs";
import type { FoundCheck } from "../model/real-check.ts";
import { type AgentPresence, findAgent } from "./agent-presence.ts";
import { replaceFile, writeFailure } from "./files.ts";
import { runFile } from "./run-file.ts";

/** `/run/l3dsr.INODE.checks`, INODE that of the network namespace. */
export function foundChecksPath(): string {
	return runFile("checks");
}

/** For the agent. All of it, or as it was. Throws L3dsrError (FILE_WRITE). */
export function writeFoundChecks(checks: readonly FoundCheck[], path: string = foundChecksPath()): void {
	try {
		replaceFile(path, Buffer.from(`${JSON.stringify({ process: process.pid, checks })}\n`));
	} catch (cause) {
		throw writeFailure("what the health checks have found to", path, cause);
	}
}

/** For the agent when it ends. */
export function removeFoundChecks(path: string = foundChecksPath()): void {
	rmSync(path, { force: true });
}

/** Undefined where no agent lives, or it checks nothing. Throws LinuxError when that cannot be told. */
export async function readFoundChecks(
	path: string = foundChecksPath(),
	agent: () => Promise<Pick<AgentPresence, "process"> | undefined> = findAgent,
): Promise<readonly FoundCheck[] | undefined> {
	const living = await agent();
	if (living === undefined) return undefined;
	try {
		const { process, checks } = JSON.parse(readFileSync(path, "utf8"));
		// Written by an agent alone, and whole.
		return process === living.process && Array.isArray(checks) ? checks : undefined;
	} catch {
		return undefined; // it is not there yet, or it is not a file of the agent
	}
}
