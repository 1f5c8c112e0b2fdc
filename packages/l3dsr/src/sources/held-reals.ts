/**
 * The states that `l3dsr drain` and `l3dsr disable` have set on this host, in a file that survives a restart and a
 * reboot.
 */
import { dirname } from "node:path";
import { errnoOfFileError } from "@l3dsr/linux";
import { L3dsrError } from "../errors.ts";
import { fileReason, replaceFile, writeFailure } from "../host/files.ts";
import type { HeldReal } from "../model/held-real.ts";
import { formatHeldReals, parseHeldReals } from "../syntax/held-reals.ts";
import type { SourceFiles } from "./source-files.ts";

/**
 * Empty if there is no such file. Throws L3dsrError (STATE_READ): a fault must not bring back a disabled real server.
 */
export function readHeldReals(files: Pick<SourceFiles, "readFile">, path: string): HeldReal[] {
	let text: string;
	try {
		text = files.readFile(path);
	} catch (cause) {
		if (errnoOfFileError(cause) === "ENOENT") return [];
		const message = `read ${path}, which records what is drained and disabled here: ${fileReason(cause)}`;
		const hint = `make ${path} a readable file, or remove it: then only the states of the fleet's table apply`;
		throw new L3dsrError({ code: "STATE_READ", message, hint }, { cause });
	}
	return parseHeldReals(text, path);
}

/** Writes all of it or nothing. Throws L3dsrError (FILE_WRITE). */
function writeHeldReals(path: string, reals: readonly HeldReal[]): void {
	try {
		replaceFile(path, Buffer.from(formatHeldReals(reals)));
	} catch (cause) {
		const hint = `no state has changed; make ${dirname(path)} writable, or name another file with state: below director:`;
		throw writeFailure("the states of real servers to", path, cause, hint);
	}
}

/**
 * The file is written first: after a crash, the next command does what was requested. After a failure, the file is
 * restored.
 */
export async function keepingHeldReals(
	path: string,
	{ before, after }: { readonly before: readonly HeldReal[]; readonly after: readonly HeldReal[] },
	work: () => Promise<void>,
): Promise<void> {
	writeHeldReals(path, after);
	try {
		await work();
	} catch (error) {
		writeHeldReals(path, before);
		throw error;
	}
}
