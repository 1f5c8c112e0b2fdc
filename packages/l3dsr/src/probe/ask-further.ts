/** The further questions to a real server, chosen by its first answers. */
import { judgeAnswer } from "./answer.ts";
import type { Asked } from "./ask-targets.ts";
import { diagnose, largeEcho } from "./diagnose.ts";
import type { Further } from "./explain.ts";
import type { Asker, ProbeOptions } from "./prober.ts";

/**
 * On success, test ECN bits, data after the handshake, and large packets too; on failure, look for the
 * cause.
 */
export async function askFurther(
	prober: Asker,
	{ target, answers, connected }: Asked,
	ecn: boolean,
	wait: ProbeOptions,
): Promise<Further> {
	if (answers.every((answer) => judgeAnswer(target, answer) === "vip")) {
		const goesOn = connected?.conversation.kind === "complete";
		const asked = [...(ecn ? [] : [{ target, ecn: true }]), ...(goesOn ? [largeEcho(target)] : [])];
		const more = await prober.ask(asked, wait);
		const withEcn = ecn ? undefined : more[0];
		const large = goesOn ? more.at(-1) : undefined;
		return {
			...(withEcn === undefined ? {} : { ecn: withEcn }),
			...(connected === undefined
				? {}
				: { connected: large === undefined ? connected : { ...connected, large } }),
		};
	}
	if (answers.every(({ kind }) => kind === "unsent")) return {};
	return { evidence: await diagnose(prober, target, wait) };
}
