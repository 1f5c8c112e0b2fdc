/** The outcome of a traced packet in one sentence, and the rules that nearly matched. Pure. */
import type { TraceRecord } from "@l3dsr/records";
import type { Tone } from "./services.ts";

export interface Outcome {
	readonly tone: Tone;
	readonly text: string;
}

export function outcomeOf(record: TraceRecord): Outcome {
	const { rewritten, destination, local, stops, checksums, unreadable } = record;
	if (unreadable !== undefined)
		return { tone: "bad", text: "The stack drops it: its header cannot be read." };
	if (checksums.some(({ header, before }) => header === "header" && before.verdict === "bad")) {
		return { tone: "bad", text: "The stack drops it: its IPv4 header checksum is wrong." };
	}
	if (rewritten && local) {
		return {
			tone: "good",
			text: `It is rewritten to ${destination}, an address of this host, and goes up the stack.`,
		};
	}
	if (rewritten) {
		return {
			tone: "bad",
			text: `It is rewritten to ${destination}, which is not an address of this host: it is forwarded or dropped. Is the VIP on lo? l3dsr up adds it.`,
		};
	}
	const none = stops.length === 0 ? "No rule is on its path" : "No rule matches";
	return local
		? { tone: "idle", text: `${none}: it goes up the stack unchanged.` }
		: {
				tone: "warn",
				text: `${none}, and ${destination ?? "its destination"} is not an address of this host.`,
			};
}

type RuleTrace = TraceRecord["stops"][number]["rules"][number];

/** Number of near misses that are named; the rest are counted. */
const MOST = 5;

/**
 * Rules that fail in one condition. Those that only want another DSCP are listed if they are few, or if there
 * is a hint.
 */
export function nearMisses(rules: readonly RuleTrace[]): readonly RuleTrace[] {
	const single = rules.filter(({ matched, failed }) => !matched && failed.length === 1);
	const first = single.filter(({ failed }) => failed[0]?.hint !== undefined || failed[0]?.dscpOnly === false);
	const byCode = single.filter((rule) => !first.includes(rule));
	const named = first.slice(0, MOST);
	return named.length + byCode.length <= MOST ? [...named, ...byCode] : named;
}
