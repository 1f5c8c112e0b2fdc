/** What happened to one packet: the record that is printed, as text or as JSON. Pure. */
import {
	addressFromBytes,
	type ChecksumVerdict,
	dscpOfTos,
	type ParsedPacket,
	parsePacket,
	verifyChecksums,
	wordAt,
} from "@l3dsr/packet";
import type { TraceRecord } from "@l3dsr/records";
import type { PacketContext } from "../../rewrite/oracle/oracle.ts";
import { protocolName } from "../../syntax/iptables/names.ts";
import { formatRuleSpec } from "../../syntax/iptables/rule-format.ts";
import type { DirectorAnswer } from "./ask-director.ts";
import { type ComparedField, compareFields, headerFields } from "./header-fields.ts";
import { type StopResult, travel } from "./journey.ts";
import { type FailedCondition, failedConditions } from "./near-miss.ts";
import type { KernelRecord, Traced } from "./traced.ts";

export interface RuleRecord {
	readonly rule: string;
	readonly matched: boolean;
	/** Every condition that the packet does not meet; one is a near miss. */
	readonly failed: readonly FailedCondition[];
}

export interface StopRecord {
	readonly datapath: string;
	readonly place: string;
	/** Rules of the packet's family. */
	readonly rules: readonly RuleRecord[];
}

export interface ChecksumRecord {
	readonly header: string;
	readonly before: ChecksumVerdict;
	readonly after: ChecksumVerdict;
}

export interface PacketRecord {
	readonly number: number;
	readonly interface: string;
	readonly mark: number;
	readonly vlans: readonly number[];
	/** Why no rule sees it. */
	readonly unreadable?: string;
	readonly capturedBytes?: number;
	/** The trace uses the completed transport checksum, which the sender left to the interface. */
	readonly checksumCompleted: boolean;
	/** The packet as received; absent if it cannot be read. */
	readonly packet?: NonNullable<TraceRecord["packet"]>;
	/** What a director did with it, before any rule. */
	readonly director?: DirectorAnswer;
	readonly stops: readonly StopRecord[];
	readonly header: readonly ComparedField[];
	readonly checksums: readonly ChecksumRecord[];
	/** What the packet adds to the counters of every rule that matched. */
	readonly counters: readonly { readonly datapath: string; readonly rule: string; readonly bytes: number }[];
	readonly malformed?: string;
	readonly rewritten: boolean;
	readonly destination?: string;
	readonly local: boolean;
	readonly kernel: readonly KernelRecord[];
	readonly before: string;
	readonly after: string;
}

/** The complete record of a packet; number 1 is a capture's first. */
export function packetRecord(traced: Traced, number: number): PacketRecord {
	const { input, journey, kernel, context } = traced;
	const { packet, before, after } = journey;
	const complete = input.capturedBytes === input.bytes.length;
	const rewritten = parsePacket(after);
	return {
		number,
		interface: context.inInterface,
		mark: context.mark,
		vlans: input.vlans,
		...(journey.unreadable === undefined ? {} : { unreadable: journey.unreadable }),
		...(complete ? {} : { capturedBytes: input.capturedBytes }),
		checksumCompleted: input.checksumCompleted,
		...(packet === undefined ? {} : { packet: packetFields(before, packet) }),
		...(traced.director === undefined ? {} : { director: traced.director }),
		stops: journey.stops.map((stop) => stopRecord(stop, context)),
		header:
			packet === undefined || typeof rewritten === "string"
				? []
				: compareFields(headerFields(before, packet), headerFields(after, rewritten)),
		checksums: packet === undefined ? [] : checksumRecords(traced, packet),
		counters: journey.stops.flatMap(({ stop, matched }) =>
			matched.map((index) => ({
				datapath: stop.datapath,
				rule: ruleText(stop.rules[index]),
				bytes: packet?.length ?? 0,
			})),
		),
		...(journey.malformed === undefined ? {} : { malformed: journey.malformed }),
		rewritten: journey.rewritten,
		...(journey.destination === undefined ? {} : { destination: journey.destination.text }),
		local: journey.local,
		kernel,
		before: Buffer.from(before.subarray(0, input.capturedBytes)).toString("hex"),
		after: Buffer.from(after.subarray(0, input.capturedBytes)).toString("hex"),
	};
}

function packetFields(bytes: Uint8Array, packet: ParsedPacket): NonNullable<TraceRecord["packet"]> {
	const { family, tos, ttl, length, protocol, transport } = packet;
	const ports =
		transport?.portsPresent === true
			? {
					sourcePort: wordAt(bytes, transport.offset),
					destinationPort: wordAt(bytes, transport.offset + 2),
				}
			: {};
	return {
		family,
		source: addressFromBytes(packet.source).text,
		destination: addressFromBytes(packet.destination).text,
		...(protocol === undefined ? {} : { protocol: protocolName(protocol) }),
		...ports,
		dscp: dscpOfTos(tos),
		ecn: tos & 3,
		ttl,
		bytes: length,
	};
}

/**
 * The packet as the kernel rewrites it, with the input's remaining bytes; the oracle's result if the kernel was not
 * asked.
 */
export function outgoingBytes({ kernel, journey }: Traced): Uint8Array {
	const made = kernel.at(-1)?.bytes;
	if (made === undefined) return journey.after;
	const bytes = Uint8Array.from(journey.after);
	bytes.set(Buffer.from(made, "hex").subarray(0, bytes.length));
	return bytes;
}

export function checksumRecords(traced: Traced, packet: ParsedPacket): ChecksumRecord[] {
	const { input, journey } = traced;
	const complete = input.capturedBytes === input.bytes.length;
	const before = verifyChecksums(journey.before, packet, complete);
	const bytes = outgoingBytes(traced);
	const now = parsePacket(bytes);
	const after = typeof now === "string" ? {} : verifyChecksums(bytes, now, complete);
	return (["header", "transport"] as const).flatMap((header) => {
		const [was, is] = [before[header], after[header]];
		return was === undefined || is === undefined ? [] : [{ header, before: was, after: is }];
	});
}

/** Each rule sees the packet as the rules before it left it. */
function stopRecord({ stop, before, matched }: StopResult, context: PacketContext): StopRecord {
	let bytes = before;
	const rules: RuleRecord[] = [];
	stop.rules.forEach((rule, index) => {
		const packet = parsePacket(bytes);
		if (typeof packet === "string") return;
		const failed = failedConditions(rule, bytes, packet, context);
		if (failed === undefined) return;
		rules.push({ rule: ruleText(rule), matched: matched.includes(index), failed });
		if (failed.length === 0) bytes = afterRule(bytes, rule, context);
	});
	return { datapath: stop.datapath, place: stop.place, rules };
}

function afterRule(
	bytes: Uint8Array,
	rule: StopResult["stop"]["rules"][number],
	context: PacketContext,
): Uint8Array {
	const stop = { datapath: "configuration", place: "", when: "arriving", rules: [rule] } as const;
	return travel(bytes, [stop], context).after;
}

function ruleText(rule: StopResult["stop"]["rules"][number] | undefined): string {
	return rule === undefined ? "" : `-A ${rule.chain} ${formatRuleSpec(rule)}`;
}
