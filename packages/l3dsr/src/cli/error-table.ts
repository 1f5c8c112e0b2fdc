/**
 * The one table of what a failure is to a user: its code, the exit code it leads to, and what it means; and which code the
 * errors of the libraries have. `docs/reference/errors.md` documents each, and a test keeps the two in step.
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

/** `means`: one line, quoted by the reference. */
export const ERROR_TABLE: { readonly [C in ErrorCode]: { readonly exit: ExitCode; readonly means: string } } =
	{
		// The command line of l3dsr (src/cli)
		USAGE: { exit: EXIT.usage, means: "a command line of l3dsr that cannot be read" },
		// Grammar of iptables rules (src/syntax)
		RULE_SYNTAX: { exit: EXIT.usage, means: "a rule or command line that cannot be read" },
		RULE_UNKNOWN_OPTION: {
			exit: EXIT.usage,
			means: "an option that the command, match or target does not have",
		},
		RULE_UNSUPPORTED: {
			exit: EXIT.usage,
			means: "something iptables has and l3dsr does not: refused by name, never ignored",
		},
		RULE_BAD_VALUE: {
			exit: EXIT.usage,
			means: "an option's argument that is not of the expected form or range",
		},
		RULE_MISSING: { exit: EXIT.usage, means: "an option or argument that is required is not there" },
		RULE_CONFLICT: { exit: EXIT.usage, means: "options that cannot stand together" },
		RULE_NOT_FOUND: {
			exit: EXIT.failed,
			means: "the chain, policy, rule or rule number that a command names does not exist",
		},
		RULE_TABLE: {
			exit: EXIT.unsupported,
			means: "a table that iptables-daddr does not have; there are raw and mangle",
		},
		// eBPF programs before a kernel sees them (@l3dsr/bpf)
		BPF_BUILD: {
			exit: EXIT.failed,
			means: "an eBPF program whose description is not sound, found before it was loaded",
		},
		// The configuration file (src/syntax/config) and what it asks for (src/model)
		CONFIG_SYNTAX: { exit: EXIT.usage, means: "a configuration file that is not YAML" },
		CONFIG_UNKNOWN_KEY: { exit: EXIT.usage, means: "a key that the configuration does not have" },
		CONFIG_MISSING: {
			exit: EXIT.usage,
			means: "a key that is required, or that another one needs, is not there",
		},
		CONFIG_BAD_VALUE: {
			exit: EXIT.usage,
			means: "a value in the configuration that is not of the expected form or range",
		},
		CONFIG_DSCP_RANGE: { exit: EXIT.usage, means: "a DSCP outside 0-63 in the configuration" },
		CONFIG_READ: { exit: EXIT.usage, means: "a configuration file or folder that cannot be read" },
		MODEL_DSCP_CONFLICT: { exit: EXIT.usage, means: "one DSCP selects two VIPs of one family" },
		MODEL_SELECTION_CONFLICT: {
			exit: EXIT.usage,
			means: "a packet can be meant for two services that would do different things to it",
		},
		MODEL_REWRITE_CHAIN: {
			exit: EXIT.usage,
			means: "a packet that one service has rewritten would be selected, and rewritten again, by another",
		},
		MODEL_ANSWER_CONFLICT: {
			exit: EXIT.usage,
			means: "the answers of two services leave from one port, and set-port would translate the wrong ones",
		},
		MODEL_DUPLICATE: {
			exit: EXIT.usage,
			means: "a name or address that must be unique in a fleet is there twice",
		},
		// Files that a command reads or writes
		FILE_READ: { exit: EXIT.failed, means: "a file that a command was given cannot be read" },
		STATE_READ: {
			exit: EXIT.failed,
			means: "the file with what l3dsr drain and l3dsr disable have set cannot be read",
		},
		REAL_NOT_FOUND: { exit: EXIT.usage, means: "a real server that a command names is not in the fleet" },
		CAPTURE_FORMAT: {
			exit: EXIT.failed,
			means: "a capture file that is neither pcap nor pcapng, or is damaged",
		},
		FILE_WRITE: { exit: EXIT.failed, means: "a file that a command was told to write cannot be written" },
		PROBE_TARGET: { exit: EXIT.usage, means: "a target of probe that cannot be read" },
		// The kernel and the system programs (@l3dsr/linux, @l3dsr/bpf, src/rewrite, src/host)
		KERNEL_PERMISSION: {
			exit: EXIT.failed,
			means: "this process lacks a capability, or the kernel refuses it for another reason of privilege",
		},
		KERNEL_SYSCALL: { exit: EXIT.failed, means: "a system call that failed; the message names its errno" },
		KERNEL_VERIFIER: {
			exit: EXIT.failed,
			means: "the kernel's verifier refused a program that l3dsr generated",
		},
		KERNEL_FEATURE: {
			exit: EXIT.unsupported,
			means: "the running kernel lacks something that was asked for",
		},
		PROGRAM_MISSING: {
			exit: EXIT.unsupported,
			means: "a system program that the lab runs (ping) is not installed",
		},
		PROGRAM_FAILED: {
			exit: EXIT.failed,
			means: "a program that the lab ran on one of its hosts reported failure",
		},
		LOCK_HELD: { exit: EXIT.failed, means: "another l3dsr command is changing this host's rules" },
		AGENT_RUNNING: { exit: EXIT.failed, means: "an agent keeps this host, and not as this command would" },
		DATAPATH_FOREIGN: {
			exit: EXIT.failed,
			means: "something in an object that l3dsr owns was not written by l3dsr, or by a newer one",
		},
		DATAPATH_CHANGED: {
			exit: EXIT.failed,
			means: "something else changed the rules between l3dsr's look at them and its change",
		},
		DIRECTOR_DRIFT: {
			exit: EXIT.drift,
			means:
				"the director is not what its configuration and the fleet say, and a command would change that too",
		},
		DATAPATH_VERIFY: {
			exit: EXIT.failed,
			means: "what the kernel has after a change is not what was asked for",
		},
		// The lab (src/lab)
		LAB_EXISTS: { exit: EXIT.failed, means: "a lab of that name is there already" },
		LAB_NOT_FOUND: { exit: EXIT.failed, means: "no lab of that name is on this machine" },
		LAB_AGENT: {
			exit: EXIT.failed,
			means: "a process that the lab runs in one of its namespaces failed or did not answer in time",
		},
		LAB_CLAIM: {
			exit: EXIT.failed,
			means: "something that the lab set out to prove did not hold; the message says what was seen",
		},
		// What the agent serves (src/serve)
		API_REQUEST: {
			exit: EXIT.failed,
			means: "a request to the agent's HTTP API that cannot be read or answered",
		},
		API_REFUSED: {
			exit: EXIT.failed,
			means: "a request to the agent's HTTP API that comes without the token, or from a page of another site",
		},
		API_UNAVAILABLE: { exit: EXIT.failed, means: "the agent cannot answer a request to its HTTP API now" },
		INTERNAL: { exit: EXIT.failed, means: "a fault of l3dsr itself; please report it" },
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

/** Any failure in words; one that nobody expected is INTERNAL. */
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
	if (error instanceof NftablesError) return { code: OF_NFTABLES[error.code], ...explained(error) };
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
		hint: "this is a fault of l3dsr; please report it with the output of the same command and --debug",
	};
}

/** What a function of Node's says of a file that we did not expect to be missing, full or forbidden. */
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

function hintFor(errno: string, path: string): string | undefined {
	if (errno === "ENOSPC" || errno === "EDQUOT") return "make room on that file system (df, df -i)";
	if (errno === "EMFILE" || errno === "ENFILE") return "raise the limit of open files (ulimit -n)";
	if (errno === "ENOENT" && path.startsWith("/proc")) return "mount it: mount -t proc proc /proc";
	return undefined;
}

function explained({ message, hint }: { readonly message: string; readonly hint?: string }): {
	readonly message: string;
	readonly hint?: string;
} {
	return hint === undefined ? { message } : { message, hint };
}
