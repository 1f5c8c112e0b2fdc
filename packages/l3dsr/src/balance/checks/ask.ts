/** One question to one real server by the VIP's path, by whichever way its check has. */
import type { VipPath } from "../../vip-path/vip-path.ts";
import { askDatagram } from "./ask-datagram.ts";
import { askExec } from "./ask-exec.ts";
import { askHttp } from "./ask-http.ts";
import { askTcp } from "./ask-tcp.ts";
import type { CheckFailure } from "./failure.ts";
import type { CheckTarget } from "./targets.ts";

/** Undefined: the answer was as it should be. */
export type CheckAnswer = CheckFailure | undefined;

export interface AskOptions {
	/** For checks that connect. */
	readonly path: VipPath | undefined;
	/** The question is dropped, its connection reset; the answer then means nothing. */
	readonly signal: AbortSignal;
}

/** Does not take longer than the check's timeout. Never rejects for what the real server does. */
export async function ask(target: CheckTarget, options: AskOptions): Promise<CheckAnswer> {
	const { check } = target;
	switch (check.type) {
		case "tcp":
			return await askTcp(target, by(options));
		case "http":
		case "https":
			return await askHttp(target, check, by(options));
		case "udp":
		case "icmp":
			return await askDatagram(target, check, options);
		case "exec":
			return await askExec(target, check, options);
	}
}

function by({ path, signal }: AskOptions): { readonly path: VipPath; readonly signal: AbortSignal } {
	if (path === undefined) throw new RangeError("a check that connects has no path");
	return { path, signal };
}
