/**
 * The table of error codes, and the one error type that carries them.
 *
 * Every failure a user can meet has a stable code here; `docs/reference/errors.md` documents each, and a
 * test keeps the two in step. Messages say what was done, to which named object, and why it failed; the
 * hint says what to do next.
 */

import { BpfError, type BpfErrorCode } from "@l3dsr/bpf";
import { errnoOfFileError, fileErrorText, LinuxError, type LinuxErrorCode } from "@l3dsr/linux";
import { NftablesError, type NftablesErrorCode } from "@l3dsr/nftables";
import { PacketError, type PacketErrorCode } from "@l3dsr/packet";
import { excerptOf, printableExcerpt } from "./excerpt.ts";

/** code → what it means: one line, quoted by the reference. */
export const ERRORS = {
	// The command line of l3dsr (src/cli)
	USAGE: "a command line of l3dsr that cannot be read",
	// Grammar of iptables rules (src/syntax)
	RULE_SYNTAX: "a rule or command line that cannot be read",
	RULE_UNKNOWN_OPTION: "an option that the command, match or target does not have",
	RULE_UNSUPPORTED: "something iptables has and l3dsr does not: refused by name, never ignored",
	RULE_BAD_VALUE: "an option's argument that is not of the expected form or range",
	RULE_MISSING: "an option or argument that is required is not there",
	RULE_CONFLICT: "options that cannot stand together",
	RULE_NOT_FOUND: "the chain, policy, rule or rule number that a command names does not exist",
	RULE_TABLE: "a table that iptables-daddr does not have; there are raw and mangle",
	// eBPF programs before a kernel sees them (@l3dsr/bpf)
	BPF_BUILD: "an eBPF program whose description is not sound, found before it was loaded",
	// The configuration file (src/syntax/config) and what it asks for (src/model)
	CONFIG_SYNTAX: "a configuration file that is not YAML",
	CONFIG_UNKNOWN_KEY: "a key that the configuration does not have",
	CONFIG_MISSING: "a key that is required, or that another one needs, is not there",
	CONFIG_BAD_VALUE: "a value in the configuration that is not of the expected form or range",
	CONFIG_DSCP_RANGE: "a DSCP outside 0-63 in the configuration",
	CONFIG_READ: "a configuration file or folder that cannot be read",
	MODEL_DSCP_CONFLICT: "one DSCP selects two VIPs of one family",
	MODEL_SELECTION_CONFLICT: "a packet can be meant for two services that would do different things to it",
	MODEL_REWRITE_CHAIN:
		"a packet that one service has rewritten would be selected, and rewritten again, by another",
	MODEL_ANSWER_CONFLICT:
		"the answers of two services leave from one port, and set-port would translate the wrong ones",
	MODEL_DUPLICATE: "a name or address that must be unique in a fleet is there twice",
	// Files that a command reads or writes
	FILE_READ: "a file that a command was given cannot be read",
	STATE_READ: "the file with what l3dsr drain and l3dsr disable have set cannot be read",
	REAL_NOT_FOUND: "a real server that a command names is not in the fleet",
	CAPTURE_FORMAT: "a capture file that is neither pcap nor pcapng, or is damaged",
	FILE_WRITE: "a file that a command was told to write cannot be written",
	PROBE_TARGET: "a target of probe that cannot be read",
	// The kernel and the system programs (@l3dsr/linux, @l3dsr/bpf, src/rewrite, src/host)
	KERNEL_PERMISSION:
		"this process lacks a capability, or the kernel refuses it for another reason of privilege",
	KERNEL_SYSCALL: "a system call that failed; the message names its errno",
	KERNEL_VERIFIER: "the kernel's verifier refused a program that l3dsr generated",
	KERNEL_FEATURE: "the running kernel lacks something that was asked for",
	PROGRAM_MISSING: "a system program that the lab runs (ping) is not installed",
	PROGRAM_FAILED: "a program that the lab ran on one of its hosts reported failure",
	LOCK_HELD: "another l3dsr command is changing this host's rules",
	AGENT_RUNNING: "an agent keeps this host, and not as this command would",
	DATAPATH_FOREIGN: "something in an object that l3dsr owns was not written by l3dsr, or by a newer one",
	DATAPATH_CHANGED: "something else changed the rules between l3dsr's look at them and its change",
	DIRECTOR_DRIFT:
		"the director is not what its configuration and the fleet say, and a command would change that too",
	DATAPATH_VERIFY: "what the kernel has after a change is not what was asked for",
	// The lab (src/lab)
	LAB_EXISTS: "a lab of that name is there already",
	LAB_NOT_FOUND: "no lab of that name is on this machine",
	LAB_AGENT: "a process that the lab runs in one of its namespaces failed or did not answer in time",
	LAB_CLAIM: "something that the lab set out to prove did not hold; the message says what was seen",
	// What the agent serves (src/serve)
	API_REQUEST: "a request to the agent's HTTP API that cannot be read or answered",
	API_REFUSED:
		"a request to the agent's HTTP API that comes without the token, or from a page of another site",
	API_UNAVAILABLE: "the agent cannot answer a request to its HTTP API now",
	INTERNAL: "a fault of l3dsr itself; please report it",
} as const satisfies Record<string, string>;

export type ErrorCode = keyof typeof ERRORS;

/** A place in a text that a person wrote: a file, or the command line (`source` "argument"). */
export interface Position {
	/** File name as it was given, or `argument`. */
	readonly source: string;
	/** From 1. */
	readonly line: number;
	/** From 1, in UTF-16 code units of `text`. */
	readonly column: number;
	/** Length of the marked part, at least 1. */
	readonly length: number;
	/** The whole line, for the excerpt. */
	readonly text: string;
}

/** One finding: plain data, rendered as text or as JSON from the same record. */
export interface Diagnostic {
	readonly code: ErrorCode;
	readonly message: string;
	readonly position?: Position;
	readonly notes?: readonly string[];
	readonly hint?: string;
}

/** Thrown for one or several diagnostics at once (parsers collect all of them before they throw). */
export class L3dsrError extends Error {
	readonly diagnostics: readonly [Diagnostic, ...Diagnostic[]];

	constructor(diagnostics: Diagnostic | readonly [Diagnostic, ...Diagnostic[]], options?: ErrorOptions) {
		const all = "code" in diagnostics ? ([diagnostics] as const) : diagnostics;
		super(all.map((diagnostic) => diagnostic.message).join("; "), options);
		this.name = "L3dsrError";
		this.diagnostics = all;
	}

	/** The same failure, with more to be said of its first diagnostic. */
	withNotes(notes: readonly string[]): L3dsrError {
		const [first, ...rest] = this.diagnostics;
		return new L3dsrError([{ ...first, notes: [...(first.notes ?? []), ...notes] }, ...rest], {
			cause: this,
		});
	}

	get code(): ErrorCode {
		return this.diagnostics[0].code;
	}
}

/** What the errors of the libraries are to a user. */
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

/** Any failure as one of ours: errors of the libraries by the tables above, anything unexpected as INTERNAL. */
export function asL3dsrError(error: unknown): L3dsrError {
	if (error instanceof L3dsrError) return error;
	return new L3dsrError(diagnosticOf(error), { cause: error });
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

/** `file:line:column: error[CODE]: message`, the excerpt with its caret, notes and hint; no final newline. */
export function renderDiagnostic(diagnostic: Diagnostic): string {
	const { position } = diagnostic;
	const lines: string[] = [];
	const place = position === undefined ? "" : `${position.source}:${position.line}:${position.column}: `;
	lines.push(`${place}error[${diagnostic.code}]: ${diagnostic.message}`);
	if (position !== undefined) {
		// A tab in front of the caret must stay a tab, or the caret stands elsewhere than the fault.
		const { text, column, length } = printableExcerpt(excerptOf(position));
		const lead = text.slice(0, column - 1).replace(/[^\t]/g, " ");
		const gutter = position.source === "argument" ? "" : `${position.line} | `;
		lines.push(gutter + text);
		lines.push(" ".repeat(gutter.length) + lead + "^".repeat(Math.max(1, length)));
	}
	for (const note of diagnostic.notes ?? []) lines.push(`note: ${note}`);
	if (diagnostic.hint !== undefined) lines.push(`hint: ${diagnostic.hint}`);
	return lines.join("\n");
}
