/**
 * The table of failures as users see them: the meaning and exit code of each code, and the codes of the libraries'
 * errors. `docs/reference/errors.md` documents each, and a test keeps both in step.
 */
import { BpfError, type BpfErrorCode } from "@l3dsr/bpf";
import { errnoOfFileError, fileErrorText, LinuxError, type LinuxErrorCode } from "@l3dsr/linux";
import { NftablesError, type NftablesErrorCode } from "@l3dsr/nftables";
import { PacketError, type PacketErrorCode } from "@l3dsr/packet";
import {
	annotated,
	type Diagnostic,
	type Diagnostics,
	type ErrorCode,
	L3dsrError,
	NotedError,
} from "../errors.ts";
import { EXIT, type ExitCode } from "./exit-codes.ts";

/** `means`: one line, repeated in the reference. */
export const ERROR_TABLE: { readonly [C in ErrorCode]: { readonly exit: ExitCode; readonly means: string } } =
	{
		// The command line of l3dsr (src/cli)
		USAGE: { exit: EXIT.usage, means: "an invalid command line of l3dsr" },
		// Grammar of iptables rules (src/syntax)
		RULE_SYNTAX: { exit: EXIT.usage, means: "a rule or command line with a syntax error" },
		RULE_UNKNOWN_OPTION: {
			exit: EXIT.usage,
			means: "an option that the command, match or target does not have",
		},
		RULE_UNSUPPORTED: {
			exit: EXIT.usage,
			means: "an iptables feature that l3dsr does not have: refused by name, never ignored",
		},
		RULE_BAD_VALUE: {
			exit: EXIT.usage,
			means: "an option's argument has the wrong form or is out of range",
		},
		RULE_MISSING: { exit: EXIT.usage, means: "a required option or argument is missing" },
		RULE_CONFLICT: { exit: EXIT.usage, means: "options that cannot be combined" },
		RULE_NOT_FOUND: {
			exit: EXIT.failed,
			means: "the chain, policy, rule or rule number that a command names does not exist",
		},
		RULE_TABLE: {
			exit: EXIT.unsupported,
			means: "a table that iptables-daddr does not have; it has raw and mangle",
		},
		// eBPF programs before a kernel sees them (@l3dsr/bpf)
		BPF_BUILD: {
			exit: EXIT.failed,
			means: "an invalid eBPF program, found before it was loaded",
		},
		// The configuration file (src/syntax/config) and what it asks for (src/model)
		CONFIG_SYNTAX: { exit: EXIT.usage, means: "a configuration file that is not YAML" },
		CONFIG_UNKNOWN_KEY: { exit: EXIT.usage, means: "a key that the configuration does not have" },
		CONFIG_MISSING: {
			exit: EXIT.usage,
			means: "a key that is required, or that another key needs, is missing",
		},
		CONFIG_BAD_VALUE: {
			exit: EXIT.usage,
			means: "a value in the configuration has the wrong form or is out of range",
		},
		CONFIG_DSCP_RANGE: { exit: EXIT.usage, means: "a DSCP outside 0-63 in the configuration" },
		CONFIG_READ: { exit: EXIT.usage, means: "a configuration file or folder that cannot be read" },
		MODEL_DSCP_CONFLICT: { exit: EXIT.usage, means: "one DSCP selects two VIPs of one family" },
		MODEL_SELECTION_CONFLICT: {
			exit: EXIT.usage,
			means: "a packet could belong to two services that would treat it differently",
		},
		MODEL_REWRITE_CHAIN: {
			exit: EXIT.usage,
			means: "another service would select, and rewrite again, a packet that one service has rewritten",
		},
		MODEL_ANSWER_CONFLICT: {
			exit: EXIT.usage,
			means:
				"the answers of two services leave from the same port, and set-port would translate the wrong ones",
		},
		MODEL_DUPLICATE: {
			exit: EXIT.usage,
			means: "a name or address that must be unique in a fleet is duplicated",
		},
		// Files that a command reads or writes
		FILE_READ: { exit: EXIT.failed, means: "a file that a command should read cannot be read" },
		STATE_READ: {
			exit: EXIT.failed,
			means: "the file with the settings of l3dsr drain and l3dsr disable cannot be read",
		},
		REAL_NOT_FOUND: { exit: EXIT.usage, means: "a real server that a command names is not in the fleet" },
		CAPTURE_FORMAT: {
			exit: EXIT.failed,
			means: "a capture file that is neither pcap nor pcapng, or is damaged",
		},
		FILE_WRITE: { exit: EXIT.failed, means: "a file that a command should write cannot be written" },
		PROBE_TARGET: { exit: EXIT.usage, means: "an invalid target of probe" },
		// The kernel and the system programs (@l3dsr/linux, @l3dsr/bpf, src/rewrite, src/host)
		KERNEL_PERMISSION: {
			exit: EXIT.failed,
			means: "this process lacks a capability or another privilege",
		},
		KERNEL_SYSCALL: { exit: EXIT.failed, means: "a system call that failed; the message names its errno" },
		KERNEL_VERIFIER: {
			exit: EXIT.failed,
			means: "the kernel's verifier refused a program that l3dsr generated",
		},
		KERNEL_FEATURE: {
			exit: EXIT.unsupported,
			means: "the running kernel lacks a requested feature",
		},
		PROGRAM_MISSING: {
			exit: EXIT.unsupported,
			means: "a system program that the lab runs (ping) is not installed",
		},
		PROGRAM_FAILED: {
			exit: EXIT.failed,
			means: "a program that the lab ran on one of its hosts failed",
		},
		LOCK_HELD: { exit: EXIT.failed, means: "another l3dsr command is changing this host's rules" },
		AGENT_RUNNING: {
			exit: EXIT.failed,
			means: "an agent manages this host, with another configuration than this command",
		},
		DATAPATH_FOREIGN: {
			exit: EXIT.failed,
			means:
				"an object that l3dsr owns contains something that l3dsr did not write, or that a newer version wrote",
		},
		DATAPATH_CHANGED: {
			exit: EXIT.failed,
			means: "something else changed the rules after l3dsr read them and before it changed them",
		},
		DIRECTOR_DRIFT: {
			exit: EXIT.drift,
			means:
				"the director differs from its configuration and the fleet, and the command would change that too",
		},
		DATAPATH_VERIFY: {
			exit: EXIT.failed,
			means: "the kernel's state after a change is not the requested one",
		},
		// The lab (src/lab)
		LAB_EXISTS: { exit: EXIT.failed, means: "a lab with that name exists already" },
		LAB_NOT_FOUND: { exit: EXIT.failed, means: "no lab with that name exists on this machine" },
		LAB_WORKER: {
			exit: EXIT.failed,
			means: "a process that the lab runs in one of its namespaces failed or did not answer in time",
		},
		LAB_CLAIM: {
			exit: EXIT.failed,
			means: "a claim of the lab did not hold; the message says what was seen",
		},
		// What the agent serves (src/serve)
		API_REQUEST: {
			exit: EXIT.failed,
			means: "an invalid request to the agent's HTTP API",
		},
		API_REFUSED: {
			exit: EXIT.failed,
			means: "a request to the agent's HTTP API without the token, or from a page of another site",
		},
		API_UNAVAILABLE: { exit: EXIT.failed, means: "the agent cannot answer a request to its HTTP API now" },
		INTERNAL: { exit: EXIT.failed, means: "a bug in l3dsr; please report it" },
	};

const OF_LINUX: { readonly [C in LinuxErrorCode]: ErrorCode } = {
	PERMISSION: "KERNEL_PERMISSION",
	SYSCALL: "KERNEL_SYSCALL",
	UNSUPPORTED: "KERNEL_FEATURE",
	LOCK_HELD: "LOCK_HELD",
};
const OF_NFTABLES: { readonly [C in NftablesErrorCode]: ErrorCode } = {
	PERMISSION: "KERNEL_PERMISSION",
	UNSUPPORTED: "KERNEL_FEATURE",
	CHANGED: "DATAPATH_CHANGED",
	REFUSED: "KERNEL_SYSCALL",
	UNREADABLE: "KERNEL_SYSCALL",
};
const OF_BPF: { readonly [C in BpfErrorCode]: ErrorCode } = {
	BUILD: "BPF_BUILD",
	VERIFIER: "KERNEL_VERIFIER",
	FEATURE: "KERNEL_FEATURE",
	HELD: "KERNEL_SYSCALL",
};
const OF_PACKET: { readonly [C in PacketErrorCode]: ErrorCode } = { CAPTURE_FORMAT: "CAPTURE_FORMAT" };

/** The words for any failure; an unexpected one is INTERNAL. */
export function diagnosticsOf(error: unknown): Diagnostics {
	if (error instanceof L3dsrError) return error.diagnostics;
	if (error instanceof NotedError) return annotated(diagnosticsOf(error.failure), error.notes);
	return [diagnosticOf(error)];
}

/** The code of any failure. */
export function codeOf(error: unknown): ErrorCode {
	return diagnosticsOf(error)[0].code;
}

/** The first of an error's diagnostics decides. */
export function exitCodeOf(error: unknown): ExitCode {
	return ERROR_TABLE[codeOf(error)].exit;
}

function diagnosticOf(error: unknown): Diagnostic {
	if (error instanceof LinuxError) return { code: OF_LINUX[error.code], ...explained(error) };
	if (error instanceof NftablesError) return { code: OF_NFTABLES[error.code], ...explained(nextStep(error)) };
	if (error instanceof BpfError) {
		const notes = error.notes.length === 0 ? {} : { notes: error.notes };
		return { code: OF_BPF[error.code], ...notes, ...explained(error) };
	}
	if (error instanceof PacketError) return { code: OF_PACKET[error.code], ...explained(error) };
	const errno = errnoOfFileError(error);
	if (errno !== undefined && error instanceof Error && "syscall" in error) {
		return systemFailure(error, errno, "path" in error ? String(error.path) : "");
	}
	return {
		code: "INTERNAL",
		message: `unexpected failure: ${error instanceof Error ? error.message : String(error)}`,
		hint: "this is a bug in l3dsr; please report it with the output of the same command and --debug",
	};
}

/** An error of a Node function about a file that is unexpectedly missing, full or forbidden. */
function systemFailure(
	error: Error & { readonly syscall: unknown },
	errno: string,
	path: string,
): Diagnostic {
	const denied = errno === "EACCES" || errno === "EPERM";
	const hint = denied ? "run it as root" : hintFor(errno, path);
	return {
		code: denied ? "KERNEL_PERMISSION" : "KERNEL_SYSCALL",
		message: `${[String(error.syscall), path].filter(Boolean).join(" ")}: ${fileErrorText(error)}`,
		...(hint === undefined ? {} : { hint }),
	};
}

/** A part of the code, which is loaded when it is needed (scripts/parts.ts). */
const OWN_CODE = /\/dist\/[\w-]+\.[0-9a-f]{16}\.js$/;

function hintFor(errno: string, path: string): string | undefined {
	if (errno === "ENOSPC" || errno === "EDQUOT") return "free space on that file system (df, df -i)";
	if (errno === "EMFILE" || errno === "ENFILE") return "raise the limit of open files (ulimit -n)";
	if (errno === "ENOENT" && path.startsWith("/proc")) return "mount it: mount -t proc proc /proc";
	if (errno === "ENOENT" && OWN_CODE.test(path))
		return "l3dsr was upgraded or removed while this ran: run the command again, or restart the agent";
	if (errno === "EROFS" && path.startsWith("/proc/sys")) {
		return "this container has a read-only /proc/sys: run it on the host, or in a privileged container";
	}
	return undefined;
}

/** The package tells a program what to do about a command that the kernel refused; this tells the operator. */
function nextStep(error: NftablesError): { readonly message: string; readonly hint?: string } {
	if (error.command === undefined || error.code === "PERMISSION") return error;
	const { message } = error;
	if (error.code === "UNSUPPORTED") return { message };
	return {
		message,
		hint: "run the same command again; if it is refused again, report it with its output and --debug",
	};
}

function explained({ message, hint }: { readonly message: string; readonly hint?: string }): {
	readonly message: string;
	readonly hint?: string;
} {
	return hint === undefined ? { message } : { message, hint };
}
