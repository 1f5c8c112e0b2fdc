/** The error that the functions of this package throw. */

/**
 * - `PERMISSION`: the process lacks a capability (EPERM), or a file's mode forbids it.
 * - `SYSCALL`: a system call failed; the message names its errno.
 * - `UNSUPPORTED`: the running kernel or processor lacks the feature.
 * - `LOCK_HELD`: another process holds the lock.
 */
export type LinuxErrorCode = "PERMISSION" | "SYSCALL" | "UNSUPPORTED" | "LOCK_HELD";

export interface LinuxErrorOptions extends ErrorOptions {
	/** What to do next. */
	readonly hint?: string | undefined;
}

/** The message says what was done, to which object, and why it failed: `lock /run/x: held by process 7`. */
export class LinuxError extends Error {
	override readonly name: string = "LinuxError";
	readonly code: LinuxErrorCode;
	readonly hint?: string;

	constructor(code: LinuxErrorCode, message: string, options: LinuxErrorOptions = {}) {
		super(message, options);
		this.code = code;
		if (options.hint !== undefined) this.hint = options.hint;
	}
}
