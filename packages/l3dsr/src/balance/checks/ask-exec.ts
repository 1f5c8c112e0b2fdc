/** exec check: runs the operator's program, which gets the target in its environment; exit status 0 means success. */
import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { tosOfDscp } from "@l3dsr/packet";
import type { Check } from "../../model/fleet.ts";
import type { CheckFailure } from "./failure.ts";
import type { CheckTarget } from "./targets.ts";

type ExecCheck = Extract<Check, { readonly type: "exec" }>;

/** How much of the output is kept for the reason of a failure. */
const OUTPUT_BYTES = 1024;

export async function askExec(
	target: CheckTarget,
	{ command, timeoutMs }: ExecCheck,
	{ signal }: { readonly signal: AbortSignal },
): Promise<CheckFailure | undefined> {
	const [program = "", ...args] = command;
	const child = start(program, args, environmentOf(target));
	if (child instanceof Error) return { kind: "not-started", detail: child.message };
	return await new Promise((resolve) => {
		let output = "";
		let isLate = false;
		const keep = (chunk: Buffer) => {
			output = (output + chunk.toString("utf8")).slice(0, OUTPUT_BYTES);
		};
		child.stdout.on("data", keep);
		child.stderr.on("data", keep);
		const stop = () => {
			isLate = true;
			kill(child);
		};
		const end = (failure: CheckFailure | undefined) => {
			clearTimeout(timer);
			signal.removeEventListener("abort", stop);
			child.stdout.destroy();
			child.stderr.destroy();
			resolve(failure);
		};
		const timer = setTimeout(stop, timeoutMs);
		signal.addEventListener("abort", stop, { once: true });
		child.once("error", ({ message }) => end({ kind: "not-started", detail: message }));
		child.once("exit", (status, ended) => {
			if (isLate) return end({ kind: "timeout", stage: "command" });
			// Its last output may still be in the pipes.
			setImmediate(() => {
				if (status === null) end({ kind: "killed", signal: ended ?? "a signal", output });
				else end(status === 0 ? undefined : { kind: "exit", status, output });
			});
		});
	});
}

/**
 * Some errors come from spawn() itself, such as ENOTDIR, ELOOP, ETXTBSY, E2BIG; others, such as ENOENT, as an event of
 * the child.
 */
function start(
	program: string,
	args: readonly string[],
	env: Record<string, string>,
): ChildProcessByStdio<null, Readable, Readable> | Error {
	try {
		// Its own process group, so that the processes it starts are killed with it.
		return spawn(program, args, { detached: true, stdio: ["ignore", "pipe", "pipe"], env, cwd: "/" });
	} catch (error) {
		if (error instanceof Error) return error;
		throw error;
	}
}

function kill({ pid }: ChildProcess): void {
	if (pid === undefined) return;
	try {
		process.kill(-pid, "SIGKILL");
	} catch {
		// The process has already exited.
	}
}

function environmentOf({ vip, address, real, pool, dscp, port }: CheckTarget): Record<string, string> {
	return {
		PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		L3DSR_VIP: vip.text,
		L3DSR_REAL: address.text,
		L3DSR_REAL_NAME: real,
		L3DSR_POOL: pool,
		L3DSR_DSCP: String(dscp),
		L3DSR_TOS: String(tosOfDscp(dscp)),
		...(port === undefined ? {} : { L3DSR_PORT: String(port) }),
	};
}
