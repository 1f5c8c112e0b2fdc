/** Combines all answers of one target into the record that text and JSON are made from. Pure. */
import { type Dscp, tosOfDscp } from "@l3dsr/packet";
import type { ProbeProtocol, ProbeTarget } from "../model/probe-target.ts";
import { type Answer, judgeAnswer, type Outcome } from "./answer.ts";
import { explain, type Further, failsWithEcn } from "./explain.ts";
import { type ConnectionOutcome, judgeConnection } from "./explain-connection.ts";
import type { Explanation } from "./explanation.ts";

export interface TargetReport extends Explanation {
	readonly real: string;
	readonly vip?: string;
	readonly dscp: Dscp;
	/** The byte that carries the DSCP. */
	readonly tos: number;
	readonly protocol: ProbeProtocol;
	readonly port?: number;
	/** Every answer came from the VIP, and every connection that was asked for worked. */
	readonly ok: boolean;
	/** The VIP answered, and whole connections were asked for, not only answers to first packets. */
	readonly connected: boolean;
	/**
	 * The outcome of the first answer that was not the VIP's, else `vip`. `vip-without-ecn`: only packets without ECN
	 * bits are answered.
	 */
	readonly outcome: Outcome | "vip-without-ecn" | ConnectionOutcome;
	/** The address that answered. */
	readonly answeredBy?: string;
	readonly asked: number;
	/** Answers from the VIP; for connections, those that worked. */
	readonly answered: number;
	/** Milliseconds until these answers; absent if there are none. */
	readonly time?: { readonly minMs: number; readonly avgMs: number; readonly maxMs: number };
}

/**
 * `answers`: at least one. The evidence belongs to the first that was not the VIP's, and `connected` to the first
 * connection that failed. `broken`: how many failed.
 */
export function reportOf(
	target: ProbeTarget,
	answers: readonly Answer[],
	further: Further = {},
	broken = 0,
): TargetReport {
	const good = answers.filter((answer) => judgeAnswer(target, answer) === "vip");
	const worst = answers.find((answer) => judgeAnswer(target, answer) !== "vip") ?? answers[0];
	if (worst === undefined) throw new RangeError("a report is about one answer at least");
	const outcome = judgeAnswer(target, worst);
	const withoutEcn = outcome === "vip" && failsWithEcn(target, further.ecn);
	const { connected } = further;
	const stopped =
		outcome === "vip" && !withoutEcn && connected !== undefined ? judgeConnection(connected) : undefined;
	const times = good.flatMap((answer) => ("afterMs" in answer ? [answer.afterMs] : []));
	return {
		real: target.real.text,
		...(target.vip === undefined ? {} : { vip: target.vip.text }),
		dscp: target.dscp,
		tos: tosOfDscp(target.dscp),
		protocol: target.protocol,
		...(target.port === undefined ? {} : { port: target.port }),
		ok: outcome === "vip" && !withoutEcn && stopped === undefined,
		connected: connected !== undefined,
		outcome: withoutEcn ? "vip-without-ecn" : (stopped ?? outcome),
		...("from" in worst ? { answeredBy: worst.from.text } : {}),
		asked: answers.length,
		answered: good.length - broken,
		...(times.length === 0 ? {} : { time: summary(times) }),
		...explain(target, worst, further),
	};
}

function summary(times: readonly number[]): NonNullable<TargetReport["time"]> {
	const round = (ms: number) => Math.round(ms * 1000) / 1000;
	return {
		minMs: round(Math.min(...times)),
		avgMs: round(times.reduce((sum, ms) => sum + ms, 0) / times.length),
		maxMs: round(Math.max(...times)),
	};
}
