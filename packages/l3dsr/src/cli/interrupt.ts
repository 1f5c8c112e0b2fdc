/** Commands that must clean up when they are stopped half-way. */
import type { CliContext } from "./context.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs `work` with a signal that is aborted by Ctrl-C, SIGTERM, SIGHUP, or when nobody reads the output any
 * longer. Further Ctrl-C are ignored while it cleans up. After a signal, once `work` has ended, this
 * process ends by that same signal, as its caller expects.
 */
export async function interruptible<T>(
	context: CliContext,
	work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
	const controller = new AbortController();
	let caught: NodeJS.Signals | undefined;
	const onSignal = (signal: NodeJS.Signals) => {
		caught ??= signal;
		controller.abort();
	};
	const onClosed = () => controller.abort();
	for (const signal of SIGNALS) process.on(signal, onSignal);
	context.outputClosed.addEventListener("abort", onClosed);
	if (context.outputClosed.aborted) controller.abort();
	try {
		return await work(controller.signal);
	} finally {
		// A signal that arrives while `work` runs without waiting is handled at the next turn of the event
		// loop.
		await new Promise((resolve) => setImmediate(resolve));
		context.outputClosed.removeEventListener("abort", onClosed);
		for (const signal of SIGNALS) process.off(signal, onSignal);
		if (caught !== undefined) process.kill(process.pid, caught);
	}
}
