/** Checks one real server once, along the VIP's path, with the method of its check type. */
import type { VipPath } from "../../vip-path/vip-path.ts";
import { askDatagram } from "./ask-datagram.ts";
import { askExec } from "./ask-exec.ts";
import { askHttp } from "./ask-http.ts";
import { askTcp } from "./ask-tcp.ts";
import type { CheckFailure } from "./failure.ts";
import type { CheckTarget } from "./targets.ts";

/** Undefined if the answer was right. */
export type CheckAnswer = CheckFailure | undefined;

export interface AskOptions {
	/** For the check types that connect. */
	readonly path: VipPath | undefined;
	/** Aborting it drops the question and resets its connection; the result then means nothing. */
	readonly signal: AbortSignal;
}

/** Takes at most the check's timeout. Never rejects because of what the real server does. */
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
