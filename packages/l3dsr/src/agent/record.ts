/**
 * What the agent tells: one record for each thing that happened to the host or was done to it. Plain data (JSON keeps it
 * whole), for the journal, the HTTP API and the page; record-text.ts makes sentences of it.
 */
import type { Diagnostic } from "../errors.ts";
import type { StepRecord } from "../inspect/describe-step.ts";
import type { Finding } from "../model/finding.ts";
import type { CheckType } from "../model/fleet.ts";

/** What wakes the agent. */
export const TRIGGERS = [
	"start",
	/** An interface came, went or changed, XDP programs by netlink among it. */
	"link",
	"address",
	"route",
	"neighbour",
	/** A change of nf_tables that this process has not made. */
	"ruleset",
	/** The programs of an interface on which ours run. */
	"program",
	/** The configuration, or a file that it includes. */
	"file",
	/** SIGHUP: `systemctl reload`. */
	"signal",
	/** Another command has changed what the agent is to do: `up` or `down`. */
	"command",
	/** The kernel could not tell of everything that happened. */
	"lost",
	/** The check once a minute. */
	"minute",
	/** After a failure. */
	"retry",
] as const;
export type Trigger = (typeof TRIGGERS)[number];

/** The likely causes of a repair. */
export const CAUSES = [
	/** Everything of nf_tables is gone at once. */
	"ruleset-flushed",
	/** Rules or tables of ours were changed. */
	"rules",
	/** A program of ours was detached or replaced. */
	"program",
	/** VIPs on lo were changed. */
	"vip-addresses",
	/** Interfaces or the host's own addresses changed, and what is made for them has to follow. */
	"network",
	/** IPv6 was switched off or on. */
	"ipv6",
	"unknown",
] as const;
export type CauseKind = (typeof CAUSES)[number];

export interface Cause {
	readonly kind: CauseKind;
	/** Sentences, the likeliest first: who could have done it. */
	readonly suspects: readonly string[];
	/** Who the kernel says made the change, where it says so. */
	readonly by?: { readonly process: number; readonly program?: string };
}

export type FindingRecord = Pick<Finding, "kind" | "object" | "problem">;

export type Severity = "info" | "notice" | "warning" | "error";

interface Head<K extends string> {
	readonly kind: K;
	/** From 1, in the order in which this process wrote them. */
	readonly id: number;
	/** Of the wall clock: ISO 8601 with milliseconds, UTC. */
	readonly time: string;
	readonly severity: Severity;
}

/** The agent runs, and this host is what its configuration says. */
export interface StartedRecord extends Head<"started"> {
	readonly version: string;
	readonly process: number;
	readonly configuration: string;
	readonly services: number;
}

/** The agent ends by itself or was told to. The datapath goes on. */
export interface StoppedRecord extends Head<"stopped"> {
	readonly signal: string;
}

/** The host was made what a configuration asks for: at the start, or because the configuration has changed. */
export interface ConfiguredRecord extends Head<"configured"> {
	readonly triggers: readonly Trigger[];
	readonly configuration: string;
	readonly services: number;
	/** None: the host was so already. */
	readonly steps: readonly StepRecord[];
	/** What is not as it could be and harms nothing else: interfaces that are not there, services that this host cannot have. */
	readonly warnings: readonly string[];
	/** From the first event that was heard to the last change, in milliseconds. */
	readonly tookMs: number;
	/** From the first event to the look that has found nothing left to do. */
	readonly verifiedMs: number;
}

/** Somebody or something had changed the host, and it is again what its configuration says. */
export interface RepairedRecord extends Head<"repaired"> {
	readonly triggers: readonly Trigger[];
	readonly cause: Cause;
	readonly drift: readonly FindingRecord[];
	readonly steps: readonly StepRecord[];
	readonly warnings: readonly string[];
	/** From the first event that was heard to the last change, in milliseconds. */
	readonly tookMs: number;
	/** From the first event to the look that has found nothing left to do. */
	readonly verifiedMs: number;
}

/** The host could not be made what it should be. It is as it was before the attempt, but for what `notes` say. */
export interface FailedRecord extends Head<"failed"> {
	readonly triggers: readonly Trigger[];
	/** With what was undone in their notes. */
	readonly errors: readonly Diagnostic[];
	/** In a row, this one included. */
	readonly failures: number;
	/** When it is tried again, in milliseconds from now. */
	readonly retryMs: number;
}

/** What had failed works again. */
export interface RecoveredRecord extends Head<"recovered"> {
	/** How many attempts had failed, and for how long. */
	readonly failures: number;
	readonly failingMs: number;
}

/** The configuration cannot be used. The one that was read last without an error stays in force. */
export interface ConfigurationRefusedRecord extends Head<"configuration-refused"> {
	readonly configuration: string;
	readonly errors: readonly Diagnostic[];
	/** When the one in force was read (as `time`), and how many services it has. */
	readonly keptSince: string;
	readonly keptServices: number;
}

/** The configuration can be used again, and says what is in force. */
export interface ConfigurationRestoredRecord extends Head<"configuration-restored"> {
	readonly configuration: string;
	readonly services: number;
}

/** The same repair was needed again and again: something else manages this host too. Repairs are made less often. */
export interface ContentionRecord extends Head<"contention"> {
	/** What is changed back. */
	readonly subjects: readonly string[];
	readonly cause: Cause;
	/** So many repairs within so many milliseconds. */
	readonly repairs: number;
	readonly withinMs: number;
	/** The next repair is not made before so many milliseconds have passed. */
	readonly delayMs: number;
}

/** For a while nothing has been changed back. Repairs are made at once again. */
export interface ContentionOverRecord extends Head<"contention-over"> {
	readonly quietMs: number;
}

/** An operator took the services of this host down. The agent leaves it alone until `l3dsr up`. */
export interface HeldRecord extends Head<"held"> {
	/** As `time`. */
	readonly since: string;
	/** The command: `l3dsr down`. */
	readonly by: string;
}

/** The operator brought the services back. */
export interface ReleasedRecord extends Head<"released"> {
	readonly heldMs: number;
}

/** What the check of a real server has come to, at one VIP address and port. */
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
	/** No check had succeeded since it was added or enabled: it gets no flows before. */
	readonly isNew: boolean;
	/** Why the latest check failed. */
	readonly reason?: string;
	/** How long it had been otherwise. */
	readonly previousMs: number;
}

/** Real servers of a director became healthy or unhealthy, and its tables say so. */
export interface HealthRecord extends Head<"health"> {
	readonly changes: readonly HealthChange[];
}

/** Real servers cannot be checked, or what was found out does not get into the director's tables. Traffic goes on. */
export interface UpkeepFailedRecord extends Head<"upkeep-failed"> {
	readonly errors: readonly Diagnostic[];
}

/** What had failed works again. */
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

/** A record before it has its number and its time. */
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
