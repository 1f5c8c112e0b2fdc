/** tcp check: connects along the VIP's path and resets the connection as soon as it is established. */
import { ERRNO, SyscallError, watchWritable } from "@l3dsr/linux";
import type { PathConnection, PathOutcome, VipPath } from "../../vip-path/vip-path.ts";
import type { CheckFailure } from "./failure.ts";
import type { CheckTarget } from "./targets.ts";

interface ConnectOptions {
	readonly path: VipPath;
	readonly signal: AbortSignal;
}

export async function askTcp(
	target: CheckTarget,
	options: ConnectOptions,
): Promise<CheckFailure | undefined> {
	const connected = await connect(target, options, target.check.timeoutMs);
	if (!("connection" in connected)) return connected;
	connected.connection[Symbol.dispose]();
	return undefined;
}

/** Connects. The caller disposes of the connection; if the VIP did not answer, returns why. */
export async function connect(
	{ vip, address, dscp, port }: CheckTarget,
	{ path, signal }: ConnectOptions,
	timeoutMs: number,
): Promise<{ readonly connection: PathConnection } | CheckFailure> {
	let connection: PathConnection;
	try {
		connection = path.connect({ vip, real: address, dscp, port: port ?? 0 });
	} catch (error) {
		if (error instanceof SyscallError) return { kind: "unsent", errno: error.errno };
		throw error;
	}
	const failure = await outcomeWithin(connection, timeoutMs, signal);
	if (failure === undefined) return { connection };
	connection[Symbol.dispose]();
	return failure;
}

function outcomeWithin(
	connection: PathConnection,
	timeoutMs: number,
	signal: AbortSignal,
): Promise<CheckFailure | undefined> {
	return new Promise((resolve) => {
		const end = (failure: CheckFailure | undefined) => {
			clearTimeout(timer);
			signal.removeEventListener("abort", look);
			watcher[Symbol.dispose]();
			resolve(failure);
		};
		// At the timeout, an answer that arrived while this process was busy still counts.
		const look = () => {
			const outcome = connection.outcome();
			end(outcome === undefined ? { kind: "timeout", stage: "connect" } : failureOf(outcome));
		};
		const timer = setTimeout(look, timeoutMs);
		const watcher = watchWritable(connection.fd, look);
		signal.addEventListener("abort", look, { once: true });
	});
}

/**
 * If the program noted no answer, it came in at an interface without the program; then the source was not rewritten,
 * so it is the real address.
 */
function failureOf(outcome: PathOutcome): CheckFailure | undefined {
	const { kind, by } = outcome;
	if (kind === "connected") return by === "vip" ? undefined : { kind: "answered-by-real", how: "accepted" };
	if (outcome.errno !== ERRNO.ECONNREFUSED || by === "nobody")
		return { kind: "unreachable", errno: outcome.errno };
	return by === "vip" ? { kind: "refused" } : { kind: "answered-by-real", how: "refused" };
}
