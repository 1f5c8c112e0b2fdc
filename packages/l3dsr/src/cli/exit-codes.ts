/** What the commands end with. dsrctl and iptables-daddr keep the exit codes of their originals. */
import type { ErrorCode, L3dsrError } from "../errors.ts";

export const EXIT = { done: 0, failed: 1, usage: 2, unsupported: 3, drift: 4 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The only place that says which error leads to which exit code. */
export const EXIT_OF: { readonly [C in ErrorCode]: ExitCode } = {
	USAGE: EXIT.usage,
	RULE_SYNTAX: EXIT.usage,
	RULE_UNKNOWN_OPTION: EXIT.usage,
	RULE_UNSUPPORTED: EXIT.usage,
	RULE_BAD_VALUE: EXIT.usage,
	RULE_MISSING: EXIT.usage,
	RULE_CONFLICT: EXIT.usage,
	RULE_NOT_FOUND: EXIT.failed,
	RULE_TABLE: EXIT.unsupported,
	BPF_BUILD: EXIT.failed,
	CONFIG_SYNTAX: EXIT.usage,
	CONFIG_UNKNOWN_KEY: EXIT.usage,
	CONFIG_MISSING: EXIT.usage,
	CONFIG_BAD_VALUE: EXIT.usage,
	CONFIG_DSCP_RANGE: EXIT.usage,
	CONFIG_READ: EXIT.usage,
	MODEL_DSCP_CONFLICT: EXIT.usage,
	MODEL_SELECTION_CONFLICT: EXIT.usage,
	MODEL_REWRITE_CHAIN: EXIT.usage,
	MODEL_ANSWER_CONFLICT: EXIT.usage,
	MODEL_DUPLICATE: EXIT.usage,
	FILE_READ: EXIT.failed,
	STATE_READ: EXIT.failed,
	REAL_NOT_FOUND: EXIT.usage,
	CAPTURE_FORMAT: EXIT.failed,
	FILE_WRITE: EXIT.failed,
	PROBE_TARGET: EXIT.usage,
	KERNEL_PERMISSION: EXIT.failed,
	KERNEL_SYSCALL: EXIT.failed,
	KERNEL_VERIFIER: EXIT.failed,
	KERNEL_FEATURE: EXIT.unsupported,
	PROGRAM_MISSING: EXIT.unsupported,
	PROGRAM_FAILED: EXIT.failed,
	LOCK_HELD: EXIT.failed,
	AGENT_RUNNING: EXIT.failed,
	DATAPATH_FOREIGN: EXIT.failed,
	DATAPATH_CHANGED: EXIT.failed,
	DIRECTOR_DRIFT: EXIT.drift,
	DATAPATH_VERIFY: EXIT.failed,
	LAB_EXISTS: EXIT.failed,
	LAB_NOT_FOUND: EXIT.failed,
	LAB_AGENT: EXIT.failed,
	LAB_CLAIM: EXIT.failed,
	API_REQUEST: EXIT.failed,
	API_REFUSED: EXIT.failed,
	API_UNAVAILABLE: EXIT.failed,
	INTERNAL: EXIT.failed,
};

/** The first of an error's diagnostics decides. */
export function exitCodeOf({ code }: L3dsrError): ExitCode {
	return EXIT_OF[code];
}
