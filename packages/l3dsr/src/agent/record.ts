/**
 * The agent's records: one for each thing that happened to the host or was done to it. Plain data that JSON
 * preserves, for the journal, the HTTP API and the page; record-text.ts turns it into sentences.
 */
import type { Diagnostic } from "../errors.ts";
import type { StepRecord } from "../inspect/describe-step.ts";
import type { Finding } from "../model/finding.ts";
import type { CheckType } from "../model/fleet.ts";

/** The events that start a run. */
export const TRIGGERS = [
	"start",
	/** An interface was created, deleted or changed, or its XDP program changed. */
	"link",
	"address",
	"route",
	"neighbour",
	/** Another process changed nf_tables. */
	"ruleset",
	/** The programs of an interface changed on which ours run. */
	"program",
	/** The configuration, or a file that it includes. */
	"file",
	/** SIGHUP: `systemctl reload`. */
	"signal",
	/** Another command changed what the agent has to do: `up` or `down`. */
	"command",
	/** Events were lost. */
	"lost",
	/** The check that runs once a minute. */
	"minute",
	/** The next attempt after a failure. */
	"retry",
] as const;
export type Trigger = (typeof TRIGGERS)[number];

/** The likely causes of a repair. */
export const CAUSES = [
	/** All of nf_tables was removed at once. */
	"ruleset-flushed",
	/** Rules or tables of ours were changed. */
	"rules",
	/** A program of ours was detached or replaced. */
	"program",
	/** VIPs on lo were changed. */
	"vip-addresses",
	/** Interfaces or the host's own addresses changed, and what depends on them had to follow. */
	"network",
	/** IPv6 was switched off or on. */
	"ipv6",
	"unknown",
] as const;
export type CauseKind = (typeof CAUSES)[number];

export interface Cause {
	readonly kind: CauseKind;
	/** Sentences that name who could have made the change, the most likely first. */
	readonly suspects: readonly string[];
	/** The process that made the change, if the kernel reports it. */
	readonly by?: { readonly process: number; readonly program?: string };
}

export type FindingRecord = Pick<Finding, "kind" | "object" | "problem">;

export type Severity = "info" | "notice" | "warning" | "error";

interface Head<K extends string> {
	readonly kind: K;
	/** Counts from 1 in the order in which this process wrote the records. */
	readonly id: number;
	/** By the wall clock: ISO 8601 with milliseconds, UTC. */
	readonly time: string;
	readonly severity: Severity;
}

/** The agent started, and the host matches its configuration. */
export interface StartedRecord extends Head<"started"> {
	readonly version: string;
	readonly process: number;
	readonly configuration: string;
	readonly services: number;
}

/** The agent stopped. The datapath keeps running. */
export interface StoppedRecord extends Head<"stopped"> {
	readonly signal: string;
}

/** The host was changed to match a configuration: at the start, or because the configuration changed. */
export interface ConfiguredRecord extends Head<"configured"> {
	readonly triggers: readonly Trigger[];
	readonly configuration: string;
	readonly services: number;
	/** Empty if the host already matched. */
	readonly steps: readonly StepRecord[];
	/** Defects that affect nothing else: interfaces that do not exist, services that this host cannot have. */
	readonly warnings: readonly string[];
	/** From the first event to the last change, in milliseconds. */
	readonly tookMs: number;
	/** From the first event to the look that found nothing left to do, in milliseconds. */
	readonly verifiedMs: number;
}

/** Somebody or something changed the host, and the agent repaired it. */
export interface RepairedRecord extends Head<"repaired"> {
	readonly triggers: readonly Trigger[];
	readonly cause: Cause;
	readonly drift: readonly FindingRecord[];
	readonly steps: readonly StepRecord[];
	readonly warnings: readonly string[];
	/** From the first event to the last change, in milliseconds. */
	readonly tookMs: number;
	/** From the first event to the look that found nothing left to do, in milliseconds. */
	readonly verifiedMs: number;
}

/**
 * The agent could not apply the configuration. Apart from what `notes` say, the host is as it was before the attempt.
 */
export interface FailedRecord extends Head<"failed"> {
	readonly triggers: readonly Trigger[];
	/** Their notes say what was undone. */
	readonly errors: readonly Diagnostic[];
	/** Failed runs in a row, this one included. */
	readonly failures: number;
	/** Time until the next attempt, in milliseconds. */
	readonly retryMs: number;
}

/** A run succeeded after failures. */
export interface RecoveredRecord extends Head<"recovered"> {
	/** How many runs failed; `failingMs`: for how long. */
	readonly failures: number;
	readonly failingMs: number;
}

/** The configuration cannot be used. The last usable one stays in force. */
export interface ConfigurationRefusedRecord extends Head<"configuration-refused"> {
	readonly configuration: string;
	readonly errors: readonly Diagnostic[];
	/** When the configuration in force was read (same format as `time`), and how many services it has. */
	readonly keptSince: string;
	readonly keptServices: number;
}

/** The file can be used again, and matches the configuration in force. */
export interface ConfigurationRestoredRecord extends Head<"configuration-restored"> {
	readonly configuration: string;
	readonly services: number;
}

/**
 * The same repair was needed again and again: something else manages this host too. The agent now repairs less often.
 */
export interface ContentionRecord extends Head<"contention"> {
	/** The objects that are changed back. */
	readonly subjects: readonly string[];
	readonly cause: Cause;
	/** This many repairs within `withinMs`. */
	readonly repairs: number;
	readonly withinMs: number;
	/** Time until the next repair, in milliseconds. */
	readonly delayMs: number;
}

/** Nothing has been changed back for a while. The agent repairs at once again. */
export interface ContentionOverRecord extends Head<"contention-over"> {
	readonly quietMs: number;
}

/** An operator took this host's services down. The agent makes no repairs until `l3dsr up`. */
export interface HeldRecord extends Head<"held"> {
	/** Same format as `time`. */
	readonly since: string;
	/** The command, `l3dsr down`. */
	readonly by: string;
}

/** The operator brought the services back. */
export interface ReleasedRecord extends Head<"released"> {
	readonly heldMs: number;
}

/** The result of checking one real server at one VIP and port. */
export interface HealthChange {
	/** Names in the fleet. */
	readonly pool: string;
	readonly real: string;
	readonly address: string;
	readonly vip: string;
	/** Absent for icmp. */
	readonly port?: number;
	readonly type: CheckType;
	readonly healthy: boolean;
	/** True if no check had succeeded since the real server was added or enabled; until then it gets no flows. */
	readonly isNew: boolean;
	/** Why the latest check failed. */
	readonly reason?: string;
	/** How long the previous state lasted. */
	readonly previousMs: number;
}

/** Real servers became healthy or unhealthy, and the director's tables say so. */
export interface HealthRecord extends Head<"health"> {
	readonly changes: readonly HealthChange[];
}

/**
 * The agent cannot check real servers, or cannot write the results to the director's tables. The director still
 * forwards packets.
 */
export interface UpkeepFailedRecord extends Head<"upkeep-failed"> {
	readonly errors: readonly Diagnostic[];
}

/** The upkeep that failed works again. */
export interface UpkeepRecoveredRecord extends Head<"upkeep-recovered"> {
	readonly failingMs: number;
}

export type AgentRecord =
	| StartedRecord
	| StoppedRecord
	| ConfiguredRecord
	| RepairedRecord
	| FailedRecord
	| RecoveredRecord
	| ConfigurationRefusedRecord
	| ConfigurationRestoredRecord
	| ContentionRecord
	| ContentionOverRecord
	| HeldRecord
	| ReleasedRecord
	| HealthRecord
	| UpkeepFailedRecord
	| UpkeepRecoveredRecord;

/** A record without its head (id, time, severity). */
export type NewRecord = WithoutHead<AgentRecord>;
type WithoutHead<R extends AgentRecord> = R extends AgentRecord ? Omit<R, "id" | "time" | "severity"> : never;

export function severityOf(record: NewRecord): Severity {
	switch (record.kind) {
		case "started":
		case "stopped":
		case "recovered":
		case "configuration-restored":
		case "contention-over":
		case "released":
		case "upkeep-recovered":
			return "info";
		case "health":
			return record.changes.some(({ healthy }) => !healthy) ? "warning" : "notice";
		case "configured":
		case "repaired":
			return record.warnings.length > 0 ? "warning" : "notice";
		case "held":
		case "contention":
			return "warning";
		case "failed":
		case "upkeep-failed":
		case "configuration-refused":
			return "error";
	}
}
