/** Statements that do not depend on what the rule's registers hold, in nft's syntax. */

import type { Log, ObjectReference, OtherExpression } from "../expression.ts";
import { printable } from "../printable.ts";
import { wordless } from "./held.ts";

const LEVELS = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug", "audit"] as const;
/** nft does not print it. */
const DEFAULT_LEVEL = 4;
/** NF_LOG_* of include/uapi/linux/netfilter/nf_log.h. */
const LOG_FLAGS = { "ip options": 4, skuid: 8, ether: 0x20 } as const;
const [TCP_SEQUENCE, TCP_OPTIONS, ALL_FLAGS] = [1, 2, 0x2f];

export function logText({
	prefix,
	group,
	snapLength = 0,
	queueThreshold = 0,
	level = DEFAULT_LEVEL,
	flags = 0,
}: Log): string {
	return [
		"log",
		...(prefix === undefined ? [] : [`prefix "${printable(prefix)}"`]),
		...(group === undefined ? [] : [`group ${group}`]),
		...(snapLength === 0 ? [] : [`snaplen ${snapLength}`]),
		...(queueThreshold === 0 ? [] : [`queue-threshold ${queueThreshold}`]),
		...(level === DEFAULT_LEVEL ? [] : [`level ${LEVELS[level] ?? level}`]),
		...logFlags(flags).map((one) => `flags ${one}`),
	].join(" ");
}

function logFlags(flags: number): string[] {
	if (flags === ALL_FLAGS) return ["all"];
	const tcp = [
		...((flags & TCP_SEQUENCE) === 0 ? [] : ["sequence"]),
		...((flags & TCP_OPTIONS) === 0 ? [] : ["options"]),
	];
	const others = Object.entries(LOG_FLAGS).flatMap(([name, bit]) => ((flags & bit) === 0 ? [] : [name]));
	const unknown = flags & ~ALL_FLAGS;
	return [
		...(tcp.length === 0 ? [] : [`tcp ${tcp.join(",")}`]),
		...others,
		...(unknown === 0 ? [] : [wordless(`0x${unknown.toString(16)}`)]),
	];
}

/** `counter name "x"`, `ct helper set "x"`. */
export function objectText({ type, name }: ObjectReference): string {
	const quoted = `"${printable(name)}"`;
	if (type.startsWith("ct ")) return `${type} set ${quoted}`;
	if (type === "secmark") return `meta secmark set ${quoted}`;
	return `${type} name ${quoted}`;
}

/** The expression as the kernel sent it, in hexadecimal. */
export function otherText({ name, data }: OtherExpression): string {
	if (name === "notrack" && data === undefined) return name;
	const bytes = data === undefined ? "" : ` 0x${Buffer.from(data).toString("hex")}`;
	return wordless(`${printable(name)}${bytes}`);
}
